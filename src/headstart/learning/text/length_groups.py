"""Batches of texts that are about as long as one another, for a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def group_by_length(
    batches: Sequence[np.ndarray],
    lengths: np.ndarray,
    pooled: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Tell random batches apart by length; which texts meet stays random, but for their length.

    Args:
        batches: row numbers of an epoch's batches, in random order.
        lengths: tokens of each row, shape (n,).
        pooled: so many batches at a time are poured together, sorted and cut again.
        generator: draws the order of the new batches.

    Returns:
        Batches of the same sizes and with the same rows in all, in random order.
    """
    grouped: list[np.ndarray] = []
    for start in range(0, len(batches), pooled):
        part = batches[start : start + pooled]
        rows = np.concatenate(part)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        grouped += np.split(rows, np.cumsum([len(batch) for batch in part])[:-1])
    return [grouped[i] for i in generator.permutation(len(grouped))]
