"""CAGrad: near the mean gradient, the direction that serves the worst-off task (Liu et al. 2021).

    d = argmax min_t <g_t, d>     over ||d - g_0|| <= c ||g_0||,     g_0 = 1/T sum_t g_t

    d = g_0 + c ||g_0|| g_w / ||g_w||,   g_w = sum_t w_t g_t
    w = argmin <g_w, g_0> + c ||g_0|| ||g_w||     over w >= 0, sum_t w_t = 1

c = 0 is the mean gradient; the nearer c is to 1, the more the worst-off task counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize

from headstart.learning.multi_task.learner import Candidate, TaskProblem
from headstart.learning.multi_task.task_gradients import TaskGradients


class CAGrad(TaskGradients):
    """Conflict-averse gradients."""

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        super().__init__(problem, candidates, seed)
        self.c = problem.parameters.cagrad_c

    def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """The weights of d."""
        return cagrad_weights(gramian, self.c)


def cagrad_weights(gramian: torch.Tensor, c: float) -> torch.Tensor:
    """Weights a of d = sum_t a_t g_t, for every candidate.

    Args:
        gramian: G, shape (C, T, T).
        c: radius, as a share of ||g_0||.
    """
    found = [_averse(one, c) for one in gramian.detach().double().cpu().numpy()]
    return torch.from_numpy(np.array(found)).to(gramian)


def _averse(gramian: np.ndarray, c: float) -> np.ndarray:
    tasks = len(gramian)
    mean = np.full(tasks, 1 / tasks)
    scaled = gramian / max(float(np.trace(gramian)) / tasks, 1e-300)
    with_mean = scaled @ mean
    radius = c * np.sqrt(max(mean @ with_mean, 0.0))
    if radius == 0:
        return mean

    def length(w: np.ndarray) -> float:
        return float(np.sqrt(max(w @ scaled @ w, 1e-16)))

    solution = minimize(
        lambda w: w @ with_mean + radius * length(w),
        mean,
        jac=lambda w: with_mean + radius * (scaled @ w) / length(w),
        method="SLSQP",
        bounds=[(0, 1)] * tasks,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 200},
    )
    w = np.maximum(solution.x, 0)
    w = w / w.sum()
    return np.asarray(mean + radius * w / length(w))
