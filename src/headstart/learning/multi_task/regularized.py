"""A network for each task, pulled towards those of related tasks.

    min_{theta_1 ... theta_T} 1/T (sum_t L_t(theta_t) + sum_{t<u} lambda_tu ||theta_t - theta_u||^2)

lambda = strength * relation, the strength being chosen with l2 on the validation rows. lambda = 0
is `separate`; the larger lambda, the more alike the networks. With lambda_tu = strength / T for
every pair the penalty is strength * sum_t ||theta_t - mean theta||^2: mean-regularized multi-task
learning (Evgeniou and Pontil 2004).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headstart.learning.multi_task.learner import (
    Candidate,
    TaskLearner,
    TaskProblem,
    combinations,
)
from headstart.learning.multi_task.pairwise_penalty import (
    laplacian,
    penalty,
    preconditioner,
    stacked,
)
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.stacked_networks import Layers


class Regularized(TaskLearner):
    """A network a task, with the pairwise penalty."""

    form: torch.Tensor

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        super().__init__(problem, candidates, seed)
        self.register_buffer("form", _forms(problem, candidates), persistent=False)

    @classmethod
    def grid(cls, parameters: TaskParameters) -> list[Candidate]:
        """Every l2 with every strength."""
        return combinations(l2=parameters.l2, strength=parameters.regularized.strengths)

    def mixing(self, problem: TaskProblem) -> torch.Tensor | None:
        """The preconditioner of the penalty."""
        return preconditioner(_forms(problem, self.candidates))

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The mean over the tasks, and the penalty."""
        return losses.mean(dim=1) + penalty(self.form, stacked(layers)) / losses.shape[1]


def _forms(problem: TaskProblem, candidates: Sequence[Candidate]) -> torch.Tensor:
    """L of every candidate: (C, T, T)."""
    assert problem.relation is not None
    strengths = torch.tensor([c["strength"] for c in candidates])
    return laplacian(strengths[:, None, None] * problem.relation.float())
