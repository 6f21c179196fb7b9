"""Model-agnostic meta-learning (Finn, Abbeel and Levine 2017): an initialization to descend from.

    phi* = argmin_phi  1/T sum_t L_t^query(theta_t),
    theta_t = phi - alpha grad L_t^support(phi),    or n such steps

The gradient of the outer loss goes through the inner steps, so it has second derivatives of the
support loss in it: for one step (I - alpha H_t) grad L_t^query(theta_t), with H_t the Hessian at
phi. First-order MAML (`order: first`) takes H_t for 0. Meta-SGD (Li et al. 2017,
`learn_step_sizes`) learns alpha as well, a number for each weight. With n = 0 it is joint training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.gradient_adaptation import GradientAdaptation
from headstart.learning.meta_learning.inner_loop import InnerLoss, Order, gradient_step
from headstart.learning.meta_learning.method import TaskLosses
from headstart.learning.meta_learning.parameters import MamlParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import (
    Layer,
    Normalization,
    TaskNetwork,
    Weights,
)


def query_losses(
    support_loss: InnerLoss,
    layer: Layer,
    problem: Problem,
    weights: Weights,
    query_x: torch.Tensor,
    query_y: torch.Tensor,
    step_sizes: float | Mapping[str, torch.Tensor],
    steps: int,
    order: Order,
) -> TaskLosses:
    """The equation above for T tasks.

    Args:
        support_loss: L^support as a function of the weights.
        layer: from weights, queries and a normalization to outputs and moments.
        problem: what the tasks ask for.
        weights: phi, once for each task, shape (T, ...).
        query_x: shape (T, m, ...).
        query_y: shape (T, m) or (T, m, D).
        step_sizes: alpha.
        steps: n.
        order: of the outer gradient.
    """
    seen = []
    for _ in range(steps):
        weights, _, moments = gradient_step(support_loss, weights, step_sizes, order)
        seen.append(moments)
    outputs, moments = layer(weights, query_x, Normalization(steps))
    return TaskLosses(
        problem.loss(outputs, query_y),
        problem.score(outputs.detach(), query_y),
        torch.stack([*seen, moments]),
    )


class Maml(GradientAdaptation):
    """MAML, first-order MAML and Meta-SGD.

    Args:
        network: phi.
        problem: what the tasks ask for.
        parameters: n, alpha and so on.
    """

    def __init__(self, network: TaskNetwork, problem: Problem, parameters: MamlParameters):
        super().__init__(network, problem, parameters.tasks_at_once, parameters.step_size)
        self.steps = parameters.steps
        self.order = parameters.order
        self.learned_sizes = nn.ParameterDict()
        if parameters.learn_step_sizes:
            for name, weight in self.adapted_weights().items():
                size = torch.full_like(weight, parameters.step_size)
                self.learned_sizes[name] = nn.Parameter(size)

    def adapted_weights(self) -> Mapping[str, torch.Tensor]:
        """The weights that inner steps change."""
        return dict(self.network.weights.items())

    def step_sizes(self) -> float | Mapping[str, torch.Tensor]:
        """See `GradientAdaptation.step_sizes`."""
        return dict(self.learned_sizes.items()) if len(self.learned_sizes) else self.step_size

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """See `query_losses`."""
        return query_losses(
            self.support_loss(episodes.support_x, episodes.support_y),
            self.network,
            self.problem,
            self.network.stacked(len(episodes.support_x)),
            episodes.query_x,
            episodes.query_y,
            self.step_sizes(),
            self.steps,
            self.order,
        )
