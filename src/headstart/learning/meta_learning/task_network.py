"""A network that computes many tasks at once, each with weights of its own.

Gradient-based meta-learning gives every task of a meta-batch its own copy of the weights. Here a
copy is a slice: weights have the shape (T, ...), inputs (T, n, ...), and one call computes all T
networks. The loop over tasks is the special case T = 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

Weights = dict[str, torch.Tensor]

Reading = Literal["query", "support", "running"]
"""What batch norm normalizes the queries of a new task by: the queries' own statistics (this is
transductive: what is said of one query depends on the others), those of the support set, or
running statistics of meta-training, for each inner step its own (Antoniou et al. 2019)."""


@dataclass(frozen=True)
class Normalization:
    """What batch norm normalizes by in one call.

    Attributes:
        step: inner steps done, which says whose running statistics are meant.
        rows: statistics of the first so many examples of each task; None: of all.
        running: running statistics instead.
    """

    step: int = 0
    rows: int | None = None
    running: bool = False


Layer = Callable[[Weights, torch.Tensor, Normalization], tuple[torch.Tensor, torch.Tensor]]
"""From weights (T, ...), inputs (T, n, ...) and a normalization to values (T, n, ...) and the
moments that batch norm saw, without a gradient, averaged over the tasks; no element where there is
no batch norm."""


class TaskNetwork(nn.Module, ABC):
    """A network without weights in its layers: these are handed to each call.

    Attributes:
        weights: the initialization phi, by name. Names that start with "head" belong to the last
            layer.
        readings: what batch norm can normalize queries by; without batch norm all is one.
    """

    readings: ClassVar[tuple[Reading, ...]] = ("query",)
    weights: nn.ParameterDict

    @abstractmethod
    def features(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A representation of each example, (T, n, D), and moments; see `Layer`."""

    @abstractmethod
    def head(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """The last layer: representations (T, n, D) -> outputs (T, n, outputs)."""

    def forward(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (T, n, outputs) and moments; see `Layer`."""
        features, moments = self.features(weights, x, normalization)
        return self.head(weights, features), moments

    def stacked(self, tasks: int) -> Weights:
        """The initialization, once for each task: shape (T, ...), no memory of its own."""
        return {name: w.expand(tasks, *w.shape) for name, w in self.weights.items()}

    def remember(self, moments: torch.Tensor) -> None:
        """Move the running statistics towards some moments, shape (inner steps + 1, ...)."""

    def replace_running(self, moments: torch.Tensor) -> None:
        """Make some moments, as `forward` gives them, the running statistics of every step."""


def read_queries(
    layer: Layer,
    weights: Weights,
    support_x: torch.Tensor,
    query_x: torch.Tensor,
    step: int,
    reading: Reading,
) -> torch.Tensor:
    """Values of the queries of new tasks.

    Args:
        layer: the network, or its representation.
        weights: shape (T, ...).
        support_x: shape (T, n, ...).
        query_x: shape (T, m, ...).
        step: inner steps done.
        reading: see `Reading`.
    """
    if reading == "support":
        n = support_x.shape[1]
        both = torch.cat([support_x, query_x], dim=1)
        values, _ = layer(weights, both, Normalization(step, rows=n))
        return values[:, n:]
    values, _ = layer(weights, query_x, Normalization(step, running=reading == "running"))
    return values


def joint_features(
    network: TaskNetwork,
    weights: Weights,
    support_x: torch.Tensor,
    query_x: torch.Tensor,
    reading: Reading,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Representations of support and queries from one call, for methods that compare the two.

    In the transductive reading both are normalized by the statistics of both together.

    Returns:
        Support (T, n, D), queries (T, m, D), moments.
    """
    n = support_x.shape[1]
    normalization = Normalization(
        rows=n if reading == "support" else None, running=reading == "running"
    )
    both, moments = network.features(weights, torch.cat([support_x, query_x], dim=1), normalization)
    return both[:, :n], both[:, n:], moments
