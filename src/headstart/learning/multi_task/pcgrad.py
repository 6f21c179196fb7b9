"""PCGrad: what conflicts with another task's gradient is taken out (Yu et al. 2020, algorithm 1).

    g_t' <- g_t;   for the others u in random order:  if <g_t', g_u> < 0:
                       g_t' <- g_t' - <g_t', g_u> / ||g_u||^2 g_u
    d = sum_t g_t'

With g_t' = sum_u P_tu g_u the products are <g_t', g_u> = (P G)_tu, so the Gramian G is all it
takes; the steps of all t and all candidates are done at once. Of two tasks nothing conflicts with d
any more; of more, the order decides what remains.
"""

from __future__ import annotations

import torch

from headstart.learning.multi_task.task_gradients import TaskGradients


class PCGrad(TaskGradients):
    """Projected conflicting gradients."""

    def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """The projected gradients' mean (the sum, over T: the scale of the other methods)."""
        return pcgrad_weights(gramian) / gramian.shape[1]


def pcgrad_weights(gramian: torch.Tensor) -> torch.Tensor:
    """Weights a of d = sum_t a_t g_t; the orders come from torch's random generator.

    Args:
        gramian: G, shape (C, T, T).
    """
    candidates, tasks = gramian.shape[:2]
    p = torch.eye(tasks, device=gramian.device, dtype=gramian.dtype).repeat(candidates, 1, 1)
    squares = gramian.diagonal(dim1=1, dim2=2)[:, None].expand_as(p)
    # Each row a random order of the tasks; to meet itself changes nothing, <g_t, g_t> >= 0 then.
    orders = torch.rand(p.shape, device=gramian.device).argsort(dim=2)
    itself = torch.arange(tasks, device=gramian.device)[:, None]
    for other in orders.split(1, dim=2):
        columns = gramian.gather(1, other.expand(-1, -1, tasks))  # row g_u of each t's next u
        product = (p * columns).sum(dim=2, keepdim=True).clamp(max=0)
        share = torch.where(other == itself, 0, product / squares.gather(2, other).clamp(min=_TINY))
        p.scatter_add_(2, other, -share)
    return p.sum(dim=1)


_TINY = 1e-30  # the square of a gradient that vanished
