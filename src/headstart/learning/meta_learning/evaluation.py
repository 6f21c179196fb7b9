"""How well new tasks are learned: scores of many episodes after 0, 1, ... steps, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from headstart.learning.meta_learning.episodes import Family
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.task_network import Reading
from headstart.learning.statistics import Interval, mean_interval


@dataclass(frozen=True)
class EpisodeScores:
    """Scores of meta-test (or meta-validation) episodes.

    Attributes:
        metric: name of the score.
        reading: what batch norm normalized the queries by.
        scores: float64, shape (steps + 1, episodes).
        losses: likewise, of what is minimized.
    """

    metric: str
    reading: Reading
    scores: np.ndarray
    losses: np.ndarray

    def interval(self, step: int = -1, confidence: float = 0.95) -> Interval:
        """Mean and interval over the episodes after so many steps; -1: after the last.

        Infinite or undefined where an episode diverged.
        """
        return mean_interval(self.scores[step], confidence)

    def diverged(self, step: int = -1, limit: float | None = None) -> int:
        """Episodes whose loss is not finite, or above `limit`, after so many steps."""
        losses = self.losses[step]
        broken = ~np.isfinite(losses)
        return int((broken if limit is None else broken | (losses > limit)).sum())

    def curve(self, confidence: float = 0.95) -> pd.DataFrame:
        """The score against the steps: step, mean, low, high, episodes."""
        rows = [
            {"step": step, "mean": i.mean, "low": i.low, "high": i.high, "episodes": i.n}
            for step in range(len(self.scores))
            for i in [self.interval(step, confidence)]
        ]
        return pd.DataFrame(rows)


def evaluate_episodes(
    method: Method,
    family: Family,
    *,
    episodes: int,
    seed: int,
    steps: int,
    reading: Reading = "query",
    tasks_at_once: int | None = None,
) -> EpisodeScores:
    """Let a method learn new tasks.

    Args:
        method: meta-trained.
        family: of the tasks.
        episodes: how many, from number 0 on.
        seed: of the episodes.
        steps: of gradient descent on each.
        reading: what batch norm normalizes the queries by, among `method.readings`; all the same
            without batch norm.
        tasks_at_once: episodes that are computed together; None: as in meta-training.
    """
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    together = tasks_at_once or method.tasks_at_once
    scores: list[torch.Tensor] = []
    losses: list[torch.Tensor] = []
    for first in range(0, episodes, together):
        batch = family.episodes(seed, range(first, min(first + together, episodes)))
        support_x, support_y, query_x, query_y = (t.to(device) for t in batch)
        outputs = method.adapt(support_x, support_y, query_x, steps=steps, reading=reading).outputs
        for values, measure in (
            (scores, method.problem.score),
            (losses, method.problem.loss),
        ):
            values.append(torch.stack([measure(o, query_y) for o in outputs]).double().cpu())
    return EpisodeScores(
        metric=method.problem.metric,
        reading=reading,
        scores=torch.cat(scores, dim=1).numpy(),
        losses=torch.cat(losses, dim=1).numpy(),
    )
