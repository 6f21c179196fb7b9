"""All pipelines of the project, built for the experiment that the parameters describe."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from headstart.experiment import Experiment, base_configuration
from headstart.pipelines import (
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
    stages = {
        "ingestion": ingestion.create_quarantine_pipeline(targets)
        + _sum(ingestion.create_pipeline(t, t in experiment.sources) for t in targets),
        "representation": _sum(
            representation.create_pipeline(
                t, experiment.encoders, experiment.representations, t in experiment.sources
            )
            for t in targets
        ),
        "probing": _sum(
            probing.create_pipeline(t, r, experiment.probes)
            for t, r in product(targets, experiment.representations)
        ),
        "fine_tuning": _sum(
            [
                *(
                    fine_tuning.create_pipeline(t, e)
                    for t, e in product(targets, experiment.fine_tuned)
                    if "fine_tune" in experiment.methods
                ),
                *(
                    fine_tuning.create_baseline_pipeline(t)
                    for t in targets
                    if "from_scratch" in experiment.methods
                ),
            ]
        ),
        "evaluation": evaluation.create_pipeline(
            targets,
            scores=experiment.tables("scores"),
            predictions=experiment.tables("predictions"),
            histories=experiment.tables("history"),
            maps=[
                f"representation.{t}.{r}.map"
                for t, r in product(targets, experiment.representations)
            ],
        )
        + _sum(prediction.create_hand_over_pipeline(t, experiment.encoders) for t in targets),
    }
    return {
        **stages,
        "prediction": prediction.create_pipeline(),
        "__default__": _sum(stages.values()),
    }


def _sum(parts: Iterable[Pipeline]) -> Pipeline:
    return sum(parts, Pipeline([]))
