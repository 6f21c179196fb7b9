"""The evaluation stage: from the score tables of all methods to the leaderboard and the report."""

from collections.abc import Mapping, Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.evaluation import nodes

FIGURES = (
    "label_efficiency",
    "cost",
    "calibration",
    "representation_map",
    "training_curves",
)


def create_pipeline(targets: Sequence[str], tables: Mapping[str, Sequence[str]]) -> Pipeline:
    """Nodes that collect, compare, recommend and report.

    Args:
        targets: names of the targets.
        tables: catalog names of the tables that the stages before have written: of `scores`, of
            test `predictions`, of training `history`, of `maps` of representations.
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
            )
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
    reporting = Node(
        nodes.write_report,
        inputs=[
            "leaderboard",
            "predictions",
            "histories",
            "maps",
            "quarantine",
            "recommendations",
            "params:evaluation",
            "parameters",
            *(
                f"ingestion.{target}.{part}"
                for target in targets
                for part in ("splits", "target_images", "summary")
            ),
        ],
        outputs="report",
        name="write_report",
        namespace="evaluation",
    )
    return Pipeline([*collecting, *comparing, *drawing, reporting])
