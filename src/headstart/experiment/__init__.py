"""The experiment: what is compared on what, which decides the nodes that there are."""

from headstart.experiment.experiment import Experiment
from headstart.experiment.reading import (
    STAGES,
    base_configuration,
    language_models,
    read_experiment,
    refuse_unknown,
)
from headstart.experiment.tracks import probes_of

__all__ = [
    "STAGES",
    "Experiment",
    "base_configuration",
    "language_models",
    "probes_of",
    "read_experiment",
    "refuse_unknown",
]
