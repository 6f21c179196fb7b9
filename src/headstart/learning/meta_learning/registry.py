"""All methods by their names. One more is one more file, and one more line in each table here."""

from __future__ import annotations

from typing import Any

import torch

from headstart.learning.configuration import Parameters
from headstart.learning.meta_learning.anil import Anil
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import ClassEpisodes, Family
from headstart.learning.meta_learning.from_scratch import FromScratch
from headstart.learning.meta_learning.joint_training import JointTraining
from headstart.learning.meta_learning.maml import Maml
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.nearest_centroid import NearestCentroid
from headstart.learning.meta_learning.parameters import (
    Conv4Parameters,
    FirstOrderMamlParameters,
    FromScratchParameters,
    JointTrainingParameters,
    MamlParameters,
    NearestCentroidParameters,
    PooledPretrainingParameters,
    PrototypicalParameters,
    ReptileParameters,
    SinusoidNetworkParameters,
)
from headstart.learning.meta_learning.pooled_pretraining import PooledPretraining
from headstart.learning.meta_learning.prototypical import Prototypical
from headstart.learning.meta_learning.reptile import Reptile
from headstart.learning.meta_learning.sinusoid_network import SinusoidNetwork
from headstart.learning.meta_learning.task_network import TaskNetwork

METHODS: dict[str, type[Any]] = {
    "maml": Maml,
    "fomaml": Maml,  # its parameters say order: first
    "anil": Anil,
    "reptile": Reptile,
    "prototypical": Prototypical,
    "joint_training": JointTraining,
    "pooled_pretraining": PooledPretraining,
    "nearest_centroid": NearestCentroid,
    "from_scratch": FromScratch,
}

# What each is told.
METHOD_PARAMETERS: dict[str, type[Parameters]] = {
    "maml": MamlParameters,
    "fomaml": FirstOrderMamlParameters,
    "anil": MamlParameters,
    "reptile": ReptileParameters,
    "prototypical": PrototypicalParameters,
    "joint_training": JointTrainingParameters,
    "pooled_pretraining": PooledPretrainingParameters,
    "nearest_centroid": NearestCentroidParameters,
    "from_scratch": FromScratchParameters,
}

# Methods that compare representations, and have no last layer of their own in the network.
METRIC_METHODS = frozenset({"prototypical", "pooled_pretraining", "nearest_centroid"})


def build_network(
    parameters: Conv4Parameters | SinusoidNetworkParameters,
    *,
    channels: int,
    outputs: int,
    inner_steps: int,
    seed: int,
) -> TaskNetwork:
    """A network with random weights.

    Args:
        parameters: say which one.
        channels: of the images.
        outputs: classes, or 0 for a representation alone.
        inner_steps: of meta-training; running statistics are kept for each.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(parameters, SinusoidNetworkParameters):
            return SinusoidNetwork(parameters.hidden, parameters.deviation)
        return Conv4(
            channels,
            parameters.filters,
            outputs,
            inner_steps,
            parameters.downsampling,
            parameters.momentum,
        )


def build_method(
    name: str,
    parameters: Any,
    network: Conv4Parameters | SinusoidNetworkParameters,
    family: Family,
    seed: int,
) -> Method:
    """A method with random weights, fit for a family of tasks.

    Args:
        name: a key of `METHODS`.
        parameters: the block of that name in `headstart.learning.meta_learning.parameters`.
        network: of the network.
        family: of the meta-training tasks; says how many classes and channels there are.
        seed: of the weights.
    """
    channels, outputs = 1, 1
    if isinstance(family, ClassEpisodes):
        channels = family.pool.inputs.shape[1]
        outputs = 0 if name in METRIC_METHODS else family.ways
    built = build_network(
        network,
        channels=channels,
        outputs=outputs,
        inner_steps=getattr(parameters, "steps", 0),
        seed=seed,
    )
    if name != "pooled_pretraining":
        return METHODS[name](built, family.problem, parameters)
    assert isinstance(family, ClassEpisodes)
    assert isinstance(network, Conv4Parameters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PooledPretraining(built, family.problem, parameters, network.filters, family.classes)
