"""MGDA: the shortest gradient between those of the tasks (Desideri 2012; Sener and Koltun 2018).

    a = argmin ||sum_t a_t g_t||^2 = argmin a^T G a     over a >= 0, sum_t a_t = 1

At its solution d no task gets worse, <g_t, d> >= ||d||^2; d = 0 where the tasks' interests cannot
be reconciled. Solved as least squares without negative weights: with G = R^T R the minimum of

    ||R b||^2 + (1 - sum_t b_t)^2     over b >= 0

is a multiple of a, for along each ray the first term decides.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls

from headstart.learning.multi_task.task_gradients import TaskGradients


class MGDA(TaskGradients):
    """Multiple gradient descent."""

    def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """The weights of the shortest gradient."""
        return mgda_weights(gramian)


def mgda_weights(gramian: torch.Tensor) -> torch.Tensor:
    """Weights a, for every candidate.

    Args:
        gramian: G, shape (C, T, T).
    """
    found = [_shortest(one) for one in gramian.detach().double().cpu().numpy()]
    return torch.from_numpy(np.array(found)).to(gramian)


def _shortest(gramian: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(gramian / max(float(np.trace(gramian)), 1e-300))
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    matrix = np.vstack([root, np.ones(len(root))])
    b, _ = nnls(matrix, np.append(np.zeros(len(root)), 1.0))
    return np.asarray(b / b.sum())
