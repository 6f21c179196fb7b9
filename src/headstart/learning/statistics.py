"""Intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided confidence interval; `low` and `high` are NaN for one value."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return bool(self.low > 0 or self.high < 0)


def mean_interval(values: np.ndarray | list[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean: mean ± t((1 + confidence) / 2, n - 1) s / sqrt(n).

    Args:
        values: one number a seed, shape (n,), n at least 1; s is their sample standard
            deviation (n - 1 in the denominator).
        confidence: coverage, between 0 and 1.

    Returns:
        The interval. One value has no spread: its bounds are NaN, not zero width; so are those of
        a mean that is not finite.
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0:
        raise ValueError(f"an interval needs a list of at least one value, got shape {x.shape}")
    mean = float(x.mean())
    if len(x) == 1 or not np.isfinite(mean):
        return Interval(mean, float("nan"), float("nan"), len(x))
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, len(x))


def paired_gain(
    scores: dict[int, float], baseline: dict[int, float], confidence: float = 0.95
) -> Interval | None:
    """Interval of the mean difference `scores - baseline` over the seeds that both have.

    Pairing by seed takes out what the two share: the draw of the labels and the test set.

    Args:
        scores: seed -> score.
        baseline: seed -> score from scratch.
        confidence: coverage.

    Returns:
        The interval, or None where no seed is in both.
    """
    shared = sorted(scores.keys() & baseline.keys())
    if not shared:
        return None
    return mean_interval([scores[s] - baseline[s] for s in shared], confidence)
