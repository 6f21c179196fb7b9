"""GradNorm: tasks are weighted so that they learn at similar rates (Chen et al. 2018).

    d = sum_t a_t g_t,   a_t = w_t / T,   sum_t w_t = T

    w moves down the gradient of   sum_t |w_t ||g_t|| - mean_u(w_u ||g_u||) r_t^alpha|
    r_t = (L_t / L_t(0)) / mean_u(L_u / L_u(0))

L_t(0) is the loss of the first batch; the second term of the difference counts as a constant. A
task whose loss fell less than the others' gets a larger gradient. w = T softmax(v), and v is
trained by the same optimizer as the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from headstart.learning.multi_task.learner import Candidate, TaskProblem
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.task_gradients import TaskGradients
from headstart.learning.training import ParameterGroup


class GradNorm(TaskGradients):
    """Gradient normalization."""

    first: torch.Tensor

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        super().__init__(problem, candidates, seed)
        shape = (len(candidates), problem.tasks)
        self.alpha = problem.parameters.gradnorm.alpha
        self.v = nn.Parameter(torch.zeros(shape))
        self.register_buffer("first", torch.full(shape, torch.nan))  # L(0)

    def groups(self, parameters: TaskParameters) -> list[ParameterGroup]:
        """The networks, and v at its own learning rate."""
        return [
            ParameterGroup(list(self.networks.parameters())),
            ParameterGroup([self.v], parameters.gradnorm.scale),
        ]

    def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """The weights so far; v gets the gradient that balances them."""
        self.first.copy_(torch.where(self.first.isnan(), losses, self.first))
        lengths = gramian.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
        v = self.v.detach().requires_grad_()
        with torch.enable_grad():
            w = v.softmax(dim=1) * v.shape[1]
            (gradient,) = torch.autograd.grad(
                imbalance(w * lengths, losses / self.first, self.alpha), v
            )
        self.v.grad = gradient
        return w.detach() / w.shape[1]


def imbalance(lengths: torch.Tensor, remaining: torch.Tensor, alpha: float) -> torch.Tensor:
    """How far the weighted gradients are from the lengths that they should have.

    Args:
        lengths: w_t ||g_t||, shape (C, T).
        remaining: L_t / L_t(0), shape (C, T).
        alpha: how strongly slow tasks are pushed.
    """
    rate = remaining / remaining.mean(dim=1, keepdim=True)
    wanted = (lengths.mean(dim=1, keepdim=True) * rate**alpha).detach()
    return (lengths - wanted).abs().sum()
