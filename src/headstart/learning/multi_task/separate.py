"""A network for each task, which nothing connects: the baseline of every gain.

    min_{theta_1 ... theta_T} 1/T sum_t L_t(theta_t)

The T minima do not depend on each other; l2 and the number of steps are chosen for all of them
together. It is what `regularized` is with lambda = 0.
"""

from __future__ import annotations

import torch

from headstart.learning.multi_task.learner import TaskLearner
from headstart.learning.multi_task.stacked_networks import Layers


class Separate(TaskLearner):
    """A network a task."""

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The mean over the tasks."""
        return losses.mean(dim=1)
