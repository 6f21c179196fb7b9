"""Nearest class mean on frozen features: nothing is learned at all (Wang et al. 2019, SimpleShot).

    c_k = 1/|S_k| sum_{i in S_k} z_i,    y(x) = argmin_k ||z - c_k||^2,    z = f(x) / ||f(x)||

f is an encoder of another track, or an untrained network.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.parameters import NearestCentroidParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.prototypical import Prototypical
from headstart.learning.meta_learning.task_network import TaskNetwork


class NearestCentroid(Prototypical):
    """See the equation above.

    Args:
        network: f; `headstart.learning.meta_learning.frozen_features.FrozenFeatures` where the
            inputs are features already.
        problem: classification.
        parameters: of the method.
    """

    meta_trained: ClassVar[bool] = False

    def __init__(
        self, network: TaskNetwork, problem: Problem, parameters: NearestCentroidParameters
    ):
        Method.__init__(self, network, problem, parameters.tasks_at_once)
        self.unit_length = parameters.unit_length

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Z."""
        return F.normalize(features, dim=2) if self.unit_length else features
