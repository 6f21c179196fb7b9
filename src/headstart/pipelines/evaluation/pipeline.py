"""The evaluation stage: from the score tables of all methods to the leaderboard and the report."""

from collections.abc import Mapping, Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.evaluation import nodes

FIGURES = (
    "label_efficiency",
    "cost",
    "calibration",
    "representation_map",
    "training_curves",
)


def create_pipeline(
    targets: Mapping[str, str], sources: Sequence[str], tables: Mapping[str, Sequence[str]]
) -> Pipeline:
    """Nodes that collect, compare, recommend and report.

    Args:
        targets: name of each target -> what its ingestion calls its examples, `target_images`,
            `texts` or `table`.
        sources: names of the sources that encoders are pretrained on.
        tables: catalog names of the tables that the stages before have written: of `scores`, of
            test `predictions`, of training `history`, of `maps` and `qualities` of
            representations, of `pretext_scores`, `pretext_history` and `pretext_examples`, of
            `text_pretraining`, of `lora_costs` and `lora_ranks`, of `cosines` of gradients and
            `pair_gains` of tasks, of `few_shot_curves`, `sinusoid_examples` and
            `few_shot_trainings`, and of `plans` of the trainings.
    """
    collecting = [
        Node(
            nodes.collect_scores,
            inputs=list(tables["scores"]),
            outputs=["results", "validation"],
            name="collect_scores",
            namespace="evaluation",
        ),
        *(
            Node(
                nodes.collect_tables,
                inputs=list(tables[kind]) or None,
                outputs=whole,
                name=f"collect_{whole}",
                namespace="evaluation",
            )
            for whole, kind in (
                ("predictions", "predictions"),
                ("histories", "history"),
                ("maps", "maps"),
                ("qualities", "qualities"),
                ("pretext_scores", "pretext_scores"),
                ("pretext_histories", "pretext_history"),
                ("text_pretraining", "text_pretraining"),
                ("lora_costs", "lora_costs"),
                ("lora_ranks", "lora_ranks"),
                ("gradient_cosines", "cosines"),
                ("pair_gains", "pair_gains"),
                ("few_shot_curves", "few_shot_curves"),
                ("sinusoid_examples", "sinusoid_examples"),
                ("few_shot_trainings", "few_shot_trainings"),
                ("plans", "plans"),
            )
        ),
        Node(
            nodes.collect_examples,
            inputs=list(tables["pretext_examples"]) or None,
            outputs="pretext_examples",
            name="collect_pretext_examples",
            namespace="evaluation",
        ),
    ]
    comparing = [
        Node(
            nodes.build_leaderboard,
            inputs=["results", "params:evaluation"],
            outputs="leaderboard",
            name="build_leaderboard",
            namespace="evaluation",
        ),
        Node(
            nodes.recommend_methods,
            inputs=["validation", "leaderboard", "params:evaluation"],
            outputs="recommendations",
            name="recommend",
            namespace="evaluation",
        ),
        Node(
            nodes.compare_plans,
            inputs=[
                "plans",
                "results",
                "pretext_scores",
                "planning.gpus",
                "params:planning.gpus",
            ],
            outputs="predicted_and_measured",
            name="compare_plans",
            namespace="evaluation",
        ),
        Node(
            nodes.spread_demonstrations,
            inputs=["results", "validation"],
            outputs="in_context_spread",
            name="spread_demonstrations",
            namespace="evaluation",
        ),
    ]
    drawing = [
        Node(
            for_target(nodes.draw_figures, target),
            inputs=["leaderboard", "predictions", "histories", "maps", "params:evaluation"],
            outputs=[f"evaluation.{target}.{figure}_figure" for figure in FIGURES],
            name=f"draw_figures_{target}",
            namespace="evaluation",
        )
        for target in targets
    ]
    drawing += [
        Node(
            bind(nodes.draw_pretext_curves, source=source),
            inputs="pretext_histories",
            outputs=f"evaluation.{source}.pretext_curves_figure",
            name=f"draw_pretext_curves_{source}",
            namespace="evaluation",
        )
        for source in sources
    ]
    reporting = Node(
        nodes.write_report,
        inputs=[
            "leaderboard",
            "predictions",
            "histories",
            "maps",
            "quarantine",
            "recommendations",
            "qualities",
            "pretext_scores",
            "pretext_histories",
            "pretext_examples",
            "text_pretraining",
            "lora_costs",
            "lora_ranks",
            "in_context_spread",
            "results",
            "gradient_cosines",
            "pair_gains",
            "few_shot_curves",
            "sinusoid_examples",
            "few_shot_trainings",
            "predicted_and_measured",
            "params:evaluation",
            "parameters",
            *(
                f"ingestion.{target}.{part}"
                for target, examples in targets.items()
                for part in ("splits", examples, "summary")
            ),
        ],
        outputs="report",
        name="write_report",
        namespace="evaluation",
    )
    return Pipeline([*collecting, *comparing, *drawing, reporting])
