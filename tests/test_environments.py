"""The configuration of every environment is understood, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

from headstart.experiment import Experiment, read_experiment
from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import PlanningParameters
from headstart.learning.pretext.parameters import PretrainingParameters
from headstart.learning.text.pretraining_parameters import TextPretrainingTasks
from headstart.pipelines.adaptation.parameters import TaskAdaptationParameters
from headstart.pipelines.evaluation.parameters import EvaluationParameters
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters
from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters
from headstart.pipelines.in_context.parameters import InContextStageParameters
from headstart.pipelines.ingestion.parameters import (
    DrawParameters,
    FewShotIngestionParameters,
    IngestionParameters,
    TableIngestionParameters,
)
from headstart.pipelines.meta_learning.parameters import MetaLearningParameters
from headstart.pipelines.multi_task.parameters import MultiTaskParameters
from headstart.pipelines.prediction.parameters import PredictionParameters
from headstart.pipelines.probing.parameters import ProbingParameters
from headstart.pipelines.representation.parameters import RepresentationParameters
from headstart.pipelines.representation.text_parameters import TextRepresentationParameters
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parent.parent / "conf"
BLOCKS = {
    "adaptation": TaskAdaptationParameters,
    "compute": ComputeParameters,
    "draws": DrawParameters,
    "evaluation": EvaluationParameters,
    "few_shot_ingestion": FewShotIngestionParameters,
    "fine_tuning": FineTuningParameters,
    "ingestion": IngestionParameters,
    "meta_learning": MetaLearningParameters,
    "multi_task": MultiTaskParameters,
    "planning": PlanningParameters,
    "prediction": PredictionParameters,
    "pretraining": PretrainingParameters,
    "probing": ProbingParameters,
    "representation": RepresentationParameters,
    "table_ingestion": TableIngestionParameters,
    "text_representation": TextRepresentationParameters,
    "text_pretraining": TextPretrainingTasks,
    "text_fine_tuning": TextFineTuningParameters,
    "in_context": InContextStageParameters,
}


@pytest.fixture(params=sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "local"))
def configuration(request):
    return OmegaConfigLoader(str(CONF), env=request.param, **CONFIG_LOADER_ARGS)


def test_every_parameter_is_understood(configuration):
    parameters = configuration["parameters"]
    read_experiment(parameters, configuration["catalog"])
    for name, block in BLOCKS.items():
        block.model_validate(parameters[name])
    assert set(parameters) == set(BLOCKS) | Experiment.parameters()


def test_the_gpu_environment_asks_for_a_gpu():
    parameters = OmegaConfigLoader(str(CONF), env="gpu", **CONFIG_LOADER_ARGS)["parameters"]
    compute = ComputeParameters.model_validate(parameters["compute"])
    assert (compute.device, compute.precision, compute.compile) == ("cuda", "bf16", True)
    assert parameters["ingestion"]["image_size"] == 224
