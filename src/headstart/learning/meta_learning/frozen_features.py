"""A network that does nothing: its inputs are representations of a frozen encoder already."""

from __future__ import annotations

import torch
from torch import nn

from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork, Weights


class FrozenFeatures(TaskNetwork):
    """Features (T, n, D) as they are; no weights, no last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterDict()

    def features(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs."""
        return x, x.new_zeros(0)

    def head(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """The representation itself."""
        return features
