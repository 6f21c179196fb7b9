"""Sinusoids and what a method predicts of them after some steps, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.sinusoids import Sinusoids

COLUMNS = ["method", "shots", "seed", "episode", "step", "x", "y"]
TRUTH, SUPPORT = "truth", "support"  # in the column method


def curves_and_points(family: Sinusoids, *, seed: int, episodes: int, points: int) -> pd.DataFrame:
    """The curves themselves, and the points that they are learned from.

    Args:
        family: says how many these are.
        seed: of the episodes.
        episodes: the first so many.
        points: of each curve, evenly spaced.

    Returns:
        The columns of `COLUMNS`; the seed is 0, for the meta-training does not matter.
    """
    amplitude, phase = family.curves(seed, range(episodes))
    grid = np.linspace(*family.x, points)
    drawn = family.episodes(seed, range(episodes))
    tables = []
    for episode in range(episodes):
        curve = amplitude[episode] * np.sin(grid - phase[episode])
        given = (drawn.support_x[episode, :, 0].numpy(), drawn.support_y[episode, :, 0].numpy())
        tables += [
            _table(TRUTH, family.shots, episode, 0, grid, curve),
            _table(SUPPORT, family.shots, episode, 0, *given),
        ]
    return pd.concat(tables, ignore_index=True)


def predictions(
    name: str,
    method: Method,
    family: Sinusoids,
    *,
    seed: int,
    episodes: int,
    points: int,
    steps: Sequence[int],
    most_steps: int,
) -> pd.DataFrame:
    """What a method predicts of these curves.

    Args:
        name: of the method.
        method: meta-trained with seed 0.
        family: of the tasks.
        seed: of the episodes.
        episodes: the first so many.
        points: of each curve, evenly spaced.
        steps: of adaptation after which it is asked.
        most_steps: that the method takes; what is asked after more is left out.

    Returns:
        The columns of `COLUMNS`.
    """
    grid = np.linspace(*family.x, points)
    drawn = family.episodes(seed, range(episodes))
    asked = torch.from_numpy(grid.astype(np.float32))[:, None].expand(episodes, -1, 1)
    adapted = method.adapt(
        drawn.support_x, drawn.support_y, asked, steps=most_steps, reading="query"
    )
    outputs = adapted.outputs[..., 0].double().numpy()  # (steps + 1, episodes, points)
    return pd.concat(
        [
            _table(name, family.shots, episode, step, grid, outputs[step, episode])
            for episode in range(episodes)
            for step in steps
            if step < len(outputs)
        ],
        ignore_index=True,
    )


def _table(
    name: str, shots: int, episode: int, step: int, x: np.ndarray, y: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{"method": name, "shots": shots, "seed": 0, "episode": episode, "step": step},
            **{"x": x.astype(np.float64), "y": y.astype(np.float64)},
        }
    )[COLUMNS].astype({"method": "str"})
