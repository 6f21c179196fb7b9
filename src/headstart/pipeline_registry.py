"""All pipelines of the project, built for the experiment that the parameters describe."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from headstart.experiment import Experiment, base_configuration, probes_of, read_experiment
from headstart.pipelines import (
    adaptation,
    collecting,
    evaluation,
    fine_tuning,
    in_context,
    ingestion,
    meta_learning,
    multi_task,
    planning,
    prediction,
    pretraining,
    probing,
    representation,
)
from headstart.pipelines.checking import PLANS

_experiment: Experiment | None = None


def use(experiment: Experiment) -> None:
    """Build the pipelines for this experiment from now on (called once a session, by a hook)."""
    global _experiment
    if experiment != _experiment:
        _experiment = experiment
        pipelines.configure(__name__)  # forget the pipelines of the experiment before


def register_pipelines() -> dict[str, Pipeline]:
    """A pipeline a stage, and `__default__`: every stage from ingestion to evaluation.

    Returns:
        Name of a pipeline -> the pipeline.
    """
    experiment = _experiment or read_experiment(*base_configuration(Path.cwd()))
    targets, sources = experiment.image_targets, experiment.named_sources
    texts, text = experiment.text_targets, experiment.text
    text_sources = experiment.text_sources
    tables = experiment.table_targets
    few_shot, shots = experiment.few_shot, experiment.family_shots
    families = few_shot.image_families
    pretrained = [f"pretraining.{source}.{task}" for source, task in experiment.pretrainings]
    represented = [
        f"representation.{t}.{r}" for t, r in product(targets, experiment.representations)
    ]
    read = [f"representation.{t}.{r}" for t, r in product(texts, text.representations)]
    encoders = {t: {e: experiment.encoder_of(t, e) for e in experiment.encoders} for t in targets}
    stages = {
        "ingestion": ingestion.create_quarantine_pipeline(
            [*targets, *sources, *texts, *text_sources, *tables], families
        )
        + _sum(ingestion.create_pipeline(t, t in experiment.sources) for t in targets)
        + _sum(ingestion.create_source_pipeline(s, targets) for s in sources)
        + _sum(ingestion.create_text_pipeline(t) for t in texts)
        + _sum(ingestion.create_text_source_pipeline(s, texts) for s in text_sources)
        + _sum(ingestion.create_table_pipeline(t) for t in tables)
        + _sum(ingestion.create_few_shot_pipeline(f) for f in families),
        "pretraining": collecting.create_pipeline(
            "pretraining",
            {
                **{
                    table: [f"{one}.{table}" for one in pretrained]
                    for table in ("scores", "history")
                },
                "text_scores": [
                    f"pretraining.{source}.{task}.scores"
                    for source, task in experiment.text_pretrainings
                ],
            },
        )
        + _sum(pretraining.create_text_pipeline(t, r) for t, r in product(texts, text.read_on))
        + _sum(pretraining.create_post_training_pipeline(source) for source in text_sources)
        + pretraining.create_gallery_pipeline([f"{one}.examples" for one in pretrained])
        + _sum(
            pretraining.create_pipeline(
                source,
                task,
                experiment.images_of(source),
                own_labels=source in experiment.sources or source in sources,
            )
            for source, task in experiment.pretrainings
        ),
        "representation": collecting.create_pipeline(
            "representation",
            {
                "maps": [f"{one}.map" for one in [*represented, *read]],
                "qualities": [f"{one}.quality" for one in represented],
            },
        )
        + _sum(
            representation.create_pipeline(
                t, encoders[t], experiment.representations, experiment.images_of(t)
            )
            for t in targets
        )
        + _sum(
            representation.create_text_pipeline(t, text.extracted, text.representations)
            for t in texts
        ),
        "probing": collecting.create_pipeline(
            "probing",
            {table: experiment.probed(table) for table in ("scores", "predictions")},
        )
        + _sum(
            probing.create_pipeline("images", t, r, experiment.probes)
            for t, r in product(targets, experiment.representations)
        )
        + _sum(
            probing.create_pipeline("text", t, r, probes_of(text.methods))
            for t, r in product(texts, text.representations)
        ),
        "fine_tuning": collecting.create_pipeline(
            "fine_tuning",
            {table: experiment.trained(table) for table in ("scores", "predictions", "history")},
        )
        + _sum(
            fine_tuning.create_baseline_pipeline(t, e, encoders[t][e])
            for t, e in product(targets, experiment.untrained)
        )
        + _sum(
            fine_tuning.create_pipeline(t, e, encoders[t][e])
            for t, e in product(targets, experiment.fine_tuned)
            if "fine_tune" in experiment.methods
        )
        + _sum(
            fine_tuning.create_text_pipeline(t, method)
            for t, method in product(texts, text.methods)
            if method in ("fine_tune", "from_scratch")
        ),
        "lora": collecting.create_pipeline(
            "lora",
            {
                **{t: experiment.adapted(t) for t in ("scores", "predictions", "history")},
                "costs": ["lora.minilm.costs"] if experiment.lora_targets else [],
                "ranks": [f"lora.{t}.minilm.ranks" for t in experiment.lora_targets]
                if experiment.ranks
                else [],
            },
        )
        + _sum(fine_tuning.create_cost_pipeline("minilm") for _ in experiment.lora_targets[:1])
        + _sum(
            fine_tuning.create_rank_pipeline(t) for t in experiment.lora_targets if experiment.ranks
        )
        + _sum(
            fine_tuning.create_text_pipeline(t, method)
            for t, method in product(texts, text.methods)
            if method in ("lora", "bitfit")
        ),
        "in_context": collecting.create_pipeline(
            "in_context", {table: experiment.asked(table) for table in ("scores", "predictions")}
        )
        + _sum(
            in_context.create_pipeline(t, name, experiment.causal_model(t, name))
            for t, name in product(texts, text.causal_models)
        ),
        "multi_task": collecting.create_pipeline(
            "multi_task",
            {
                **{
                    table: experiment.learned_together(table)
                    for table in ("scores", "predictions", "history", "cosines")
                },
                "pair_gains": [f"multi_task.{t}.pair_gains" for t in tables],
            },
        )
        + _sum(
            multi_task.create_pipeline(t, m) for t, m in product(tables, experiment.tables.methods)
        )
        + _sum(multi_task.create_gains_pipeline(t) for t in tables),
        "meta_learning": collecting.create_pipeline(
            "meta_learning",
            {
                **{
                    table: experiment.meta_learned(table)
                    for table in ("scores", "curves", "trainings", "history")
                },
                "examples": experiment.drawn_sinusoids,
            },
        )
        + meta_learning.create_check_pipeline(few_shot.families)
        + _sum(
            meta_learning.create_classes_pipeline(
                f, few_shot.methods_of(f), few_shot.representations, shots[f]
            )
            for f in families
        )
        + _sum(
            meta_learning.create_sinusoids_pipeline(few_shot.methods_of(f), shots[f])
            for f in few_shot.families
            if f not in families
        ),
    }
    written = _sum(stages.values()).all_outputs()
    stages["evaluation"] = evaluation.create_pipeline(
        {
            **dict.fromkeys(targets, "target_images"),
            **dict.fromkeys(texts, "texts"),
            **dict.fromkeys(tables, "table"),
        },
        list(dict.fromkeys(source for source, _ in experiment.pretrainings)),
        {
            kind: [name for name in names if name in written]
            for kind, names in {
                "scores": [
                    f"{stage}.scores"
                    for stage in (
                        *("probing", "fine_tuning", "lora", "in_context", "multi_task"),
                        "meta_learning",
                    )
                ],
                "predictions": [
                    "probing.predictions",
                    "fine_tuning.predictions",
                    "lora.predictions",
                    "in_context.predictions",
                ],
                "history": ["fine_tuning.history", "lora.history", "multi_task.history"],
                "cosines": ["multi_task.cosines"],
                "pair_gains": ["multi_task.pair_gains"],
                "maps": ["representation.maps"],
                "qualities": ["representation.qualities"],
                "pretext_scores": ["pretraining.scores"],
                "text_pretraining": ["pretraining.text_scores"],
                "lora_costs": ["lora.costs"],
                "lora_ranks": ["lora.ranks"],
                "pretext_history": ["pretraining.history"],
                "pretext_examples": ["pretraining.examples"],
                "few_shot_curves": ["meta_learning.curves"],
                "sinusoid_examples": ["meta_learning.examples"],
                "few_shot_trainings": ["meta_learning.trainings"],
                "plans": sorted(name for name in written if name.startswith(PLANS)),
            }.items()
        },
    ) + _sum(prediction.create_hand_over_pipeline(t, list(encoders[t].values())) for t in targets)
    stages["evaluation"] += _sum(
        prediction.create_text_hand_over_pipeline(t, experiment.language_models(t))
        for t in texts
        if text.hands_over
    ) + _sum(prediction.create_table_hand_over_pipeline(t) for t in tables)
    return {
        **stages,
        "planning": planning.create_pipeline(),
        "prediction": prediction.create_pipeline(),
        "text_prediction": prediction.create_text_pipeline(),
        "table_prediction": prediction.create_table_pipeline(),
        "adaptation": adaptation.create_pipeline(),
        "regression_adaptation": adaptation.create_regression_pipeline(),
        "__default__": _sum(stages.values()),
    }


def _sum(parts: Iterable[Pipeline]) -> Pipeline:
    return sum(parts, Pipeline([]))
