"""Sinusoids, the regression tasks of Finn et al. (2017, section 5.1).

    y = A sin(x - phi),    A ~ U[0.1, 5],   phi ~ U[0, pi],   x ~ U[-5, 5]

A task is one amplitude A and one phase phi (in radians); its support set has K points, its query
set as many others as one likes. A task is a pure function of (seed, index).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headstart.learning.meta_learning.counted_uniforms import counted_uniforms
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.problems import REGRESSION, Problem


@dataclass(frozen=True)
class Sinusoids:
    """The family.

    Attributes:
        shots: K, points of the support set.
        queries: points of the query set.
        amplitude: least and largest.
        phase: least and largest, radians.
        x: least and largest.
    """

    shots: int
    queries: int
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    x: tuple[float, float] = (-5.0, 5.0)
    problem: Problem = REGRESSION

    def episodes(self, seed: int, indices: Sequence[int] | np.ndarray) -> Episodes:
        """See `headstart.learning.meta_learning.episodes.Family.episodes`; x and y (T, n, 1)."""
        points = self.shots + self.queries
        draws = counted_uniforms(seed, np.asarray(indices), 2 + points)
        amplitude, phase = self._curves(draws)
        low, high = self.x
        x = low + (high - low) * draws[:, 2:]
        y = amplitude * np.sin(x - phase)
        pairs = [torch.from_numpy(v.astype(np.float32))[:, :, None] for v in (x, y)]
        (support_x, query_x), (support_y, query_y) = (
            v.split([self.shots, self.queries], dim=1) for v in pairs
        )
        return Episodes(support_x, support_y, query_x, query_y)

    def curves(
        self, seed: int, indices: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Amplitudes and phases of some tasks, shape (T, 1) each."""
        return self._curves(counted_uniforms(seed, np.asarray(indices), 2))

    def _curves(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        amplitude, phase = (
            low + (high - low) * draws[:, i : i + 1]
            for i, (low, high) in enumerate((self.amplitude, self.phase))
        )
        return amplitude, phase
