"""All pipelines of the project, built for the experiment that the parameters describe."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from headstart.experiment import Experiment, base_configuration
from headstart.pipelines import (
    collecting,
    evaluation,
    fine_tuning,
    ingestion,
    prediction,
    probing,
    representation,
)

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
    experiment = _experiment or Experiment.from_configuration(*base_configuration(Path.cwd()))
    targets = experiment.targets
    maps = [f"representation.{t}.{r}.map" for t, r in product(targets, experiment.representations)]
    stages = {
        "ingestion": ingestion.create_quarantine_pipeline(targets)
        + _sum(ingestion.create_pipeline(t, t in experiment.sources) for t in targets),
        "representation": collecting.create_pipeline("representation", {"maps": maps})
        + _sum(
            representation.create_pipeline(
                t, experiment.encoders, experiment.representations, t in experiment.sources
            )
            for t in targets
        ),
        "probing": collecting.create_pipeline(
            "probing",
            {table: experiment.probed(table) for table in ("scores", "predictions")},
        )
        + _sum(
            probing.create_pipeline(t, r, experiment.probes)
            for t, r in product(targets, experiment.representations)
        ),
        "fine_tuning": collecting.create_pipeline(
            "fine_tuning",
            {table: experiment.trained(table) for table in ("scores", "predictions", "history")},
        )
        + _sum(
            fine_tuning.create_baseline_pipeline(t)
            for t in targets
            if "from_scratch" in experiment.methods
        )
        + _sum(
            fine_tuning.create_pipeline(t, e)
            for t, e in product(targets, experiment.fine_tuned)
            if "fine_tune" in experiment.methods
        ),
    }
    written = _sum(stages.values()).all_outputs()
    stages["evaluation"] = evaluation.create_pipeline(
        targets,
        {
            table: [name for stage in stages if (name := f"{stage}.{table}") in written]
            for table in ("scores", "predictions", "history", "maps")
        },
    ) + _sum(prediction.create_hand_over_pipeline(t, experiment.encoders) for t in targets)
    return {
        **stages,
        "prediction": prediction.create_pipeline(),
        "__default__": _sum(stages.values()),
    }


def _sum(parts: Iterable[Pipeline]) -> Pipeline:
    return sum(parts, Pipeline([]))
