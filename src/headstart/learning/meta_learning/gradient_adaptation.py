"""Methods that meet a new task by a few steps of gradient descent from what they start with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch

from headstart.learning.meta_learning.inner_loop import InnerLoss, gradient_step
from headstart.learning.meta_learning.method import Adapted, Method
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import (
    Normalization,
    Reading,
    TaskNetwork,
    Weights,
    read_queries,
)

Queries = Callable[[Weights, int], torch.Tensor]
"""From weights (T, ...) and the number of steps done to the queries' outputs (T, m, outputs)."""


def descend(
    loss: InnerLoss,
    queries: Queries,
    weights: Weights,
    step_sizes: float | Mapping[str, torch.Tensor],
    steps: int,
) -> Adapted:
    """Gradient descent on T tasks, with the queries' outputs before and after each step.

    Args:
        loss: of the support sets.
        queries: see `Queries`.
        weights: to start from, shape (T, ...).
        step_sizes: see `headstart.learning.meta_learning.inner_loop.gradient_step`.
        steps: how many.
    """
    with torch.no_grad():
        outputs = [queries(weights, 0)]
        for step in range(1, steps + 1):
            weights, _, _ = gradient_step(loss, weights, step_sizes, "first")
            outputs.append(queries(weights, step))
    return Adapted(torch.stack(outputs), weights)


class GradientAdaptation(Method):
    """Every weight of the network is adapted.

    Args:
        network: see `Method`.
        problem: see `Method`.
        tasks_at_once: see `Method`.
        step_size: alpha of the inner steps.
    """

    compiles: ClassVar[bool] = True

    def __init__(
        self, network: TaskNetwork, problem: Problem, tasks_at_once: int, step_size: float
    ):
        super().__init__(network, problem, tasks_at_once)
        self.step_size = step_size

    def step_sizes(self) -> float | Mapping[str, torch.Tensor]:
        """alpha: one number, or a tensor for each weight."""
        return self.step_size

    def support_loss(self, x: torch.Tensor, y: torch.Tensor) -> InnerLoss:
        """The loss of support sets (T, n, ...) as a function of the weights."""

        def loss(weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
            outputs, moments = self.network(weights, x, Normalization())
            return self.problem.loss(outputs, y), moments

        return loss

    def adapt(
        self,
        support_x: torch.Tensor,
        support_y: torch.Tensor,
        query_x: torch.Tensor,
        *,
        steps: int,
        reading: Reading,
    ) -> Adapted:
        """See `Method.adapt`; the support set is normalized by its own statistics."""

        def queries(weights: Weights, step: int) -> torch.Tensor:
            return read_queries(self.network, weights, support_x, query_x, step, reading)

        return descend(
            self.support_loss(support_x, support_y),
            queries,
            self.network.stacked(len(support_x)),
            self.step_sizes(),
            steps,
        )

    def predict(self, adapted: Weights, x: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Method.predict`."""
        outputs, _ = self.network(adapted, x, Normalization(steps, running=True))
        return outputs
