"""Shared hidden layers h with an output layer f_t for each task (Caruana 1997).

    min_{h, f_1 ... f_T} sum_t w_t L_t(f_t o h)

w_t is 1 / T ("equal") or n_t / n ("size"). By "uncertainty" (Kendall et al. 2018) it is learned:

    sum_t 1/T (exp(-s_t) a L_t + s_t / 2)         a = 1/2 for squared errors, 1 for classes

where exp(s_t) is the variance of task t's noise, so that noisy tasks count less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from headstart.learning.multi_task.learner import Candidate, TaskProblem
from headstart.learning.multi_task.shared_layers import SharedLayers
from headstart.learning.multi_task.stacked_networks import Layers


class LayerSharing(SharedLayers):
    """Shared hidden layers, the losses added up."""

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        super().__init__(problem, candidates, seed)
        self.weighting = problem.parameters.weighting
        if self.weighting == "uncertainty":
            self.log_variance = nn.Parameter(torch.zeros(len(candidates), problem.tasks))

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The weighted sum over the tasks."""
        if self.weighting == "uncertainty":
            factor = 0.5 if self.regression else 1.0
            s = self.log_variance
            return (torch.exp(-s) * factor * losses + s / 2).mean(dim=1)
        return losses @ self.shares if self.weighting == "size" else losses.mean(dim=1)
