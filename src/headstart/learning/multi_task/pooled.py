"""One network for the rows of all tasks.

    min_theta sum_t n_t / n L_t(theta) = 1/n sum_i loss(f(x_i; theta), y_i) + l2 ||W||^2

n_t of the n rows are task t's. `pooled` does not know which task a row is of; `pooled_with_task`
is told by T more inputs, 1 for the row's task and 0 for the others.
"""

from __future__ import annotations

import torch

from headstart.learning.multi_task.learner import TaskLearner
from headstart.learning.multi_task.stacked_networks import Layers


class Pooled(TaskLearner):
    """One network for all tasks."""

    sharing = "everything"

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The mean over all rows, whatever task they are of."""
        return losses @ self.shares


class PooledWithTask(Pooled):
    """One network, with the task among its inputs."""

    told_the_task = True
