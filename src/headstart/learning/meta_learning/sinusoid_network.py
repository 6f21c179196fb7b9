"""The network of the sinusoid experiment: 1-40-40-1, ReLU (Finn et al. 2017, section 5.1).

    h_0 = x,   h_l = max(0, h_{l-1} W_l + b_l),   y = h_L V + c

The weights start out from a normal distribution of standard deviation 0.01, cut off at two of
these, as in the authors' code: from larger ones gradient descent diverges after a few inner steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork, Weights


class SinusoidNetwork(TaskNetwork):
    """Dense layers; weights are (inputs, outputs), biases (1, outputs).

    Args:
        hidden: units of the hidden layers.
        deviation: standard deviation of the initial weights.
        inputs: numbers an example.
        outputs: numbers a prediction.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (40, 40),
        deviation: float = 0.01,
        inputs: int = 1,
        outputs: int = 1,
    ):
        super().__init__()
        self.layers = len(hidden)
        self.weights = nn.ParameterDict()
        for i, (before, after) in enumerate(pairwise([inputs, *hidden, outputs])):
            name = "head" if i == self.layers else f"hidden_{i}"
            weight = torch.empty(before, after)
            nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            self.weights[f"{name}_weight"] = nn.Parameter(weight)
            self.weights[f"{name}_bias"] = nn.Parameter(torch.zeros(1, after))

    def features(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden layer."""
        for i in range(self.layers):
            x = _affine(x, weights[f"hidden_{i}_weight"], weights[f"hidden_{i}_bias"]).relu()
        return x, x.new_zeros(0)

    def head(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """The output layer."""
        return _affine(features, weights["head_weight"], weights["head_bias"])


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """X W + b for each task; without a matrix product where W has one row or one column."""
    if weight.shape[1] == 1:
        return x * weight + bias
    if weight.shape[2] == 1:
        return (x * weight.mT).sum(2, keepdim=True) + bias
    return torch.baddbmm(bias, x, weight)
