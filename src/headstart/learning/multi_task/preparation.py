"""Missing values filled in and everything scaled, by what the training rows say alone.

    x_j = ((missing ? mean_j : value_j) - mean_j) / deviation_j          y = (target - m) / s

mean_j, deviation_j, m and s are over the training rows of all tasks together. A column that has
missing values among them has another beside it, 1 where its value is missing and 0 elsewhere, for
that a value is missing may tell something, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.learning.multi_task.tasks import TaskData


@dataclass(frozen=True)
class Preparation:
    """What the training rows say about the scale of everything.

    Attributes:
        mean: of each feature, shape (D,); 0 for one that all training rows lack.
        deviation: of each feature once its missing values are filled in, shape (D,); 1 for a
            constant one.
        indicated: features that have an indicator beside them, shape (d,).
        target_mean: m, in the target's unit; 0 for classes.
        target_deviation: s, likewise; 1 for classes.
    """

    mean: np.ndarray
    deviation: np.ndarray
    indicated: np.ndarray
    target_mean: float
    target_deviation: float

    @property
    def width(self) -> int:
        """Columns that come out: D + d."""
        return len(self.mean) + len(self.indicated)

    def features(self, raw: np.ndarray) -> np.ndarray:
        """Features as the networks see them.

        Args:
            raw: shape (n, D), NaN where missing.

        Returns:
            float32, shape (n, D + d).
        """
        missing = np.isnan(raw)
        values = (np.where(missing, self.mean, raw) - self.mean) / self.deviation
        return np.hstack([values, missing[:, self.indicated]]).astype(np.float32)

    def targets(self, raw: np.ndarray) -> np.ndarray:
        """Targets as the networks see them: scaled (float32), or classes as they are."""
        if raw.dtype == np.int64:
            return raw
        return ((raw - self.target_mean) / self.target_deviation).astype(np.float32)

    def in_units(self, outputs: np.ndarray) -> np.ndarray:
        """What a network says, in the target's unit."""
        return outputs.astype(np.float64) * self.target_deviation + self.target_mean


def prepare(data: TaskData, train: np.ndarray) -> Preparation:
    """Look at the training rows.

    Args:
        data: the table.
        train: its training rows.
    """
    raw = data.features[train]
    missing = np.isnan(raw)
    present = np.maximum((~missing).sum(axis=0), 1)
    mean = np.where(missing, 0.0, raw).sum(axis=0) / present
    filled = np.where(missing, mean, raw)
    deviation = filled.std(axis=0)
    # Ingestion may have made that very column of it.
    told = {column.tobytes() for column in filled.T}
    indicated = [
        j
        for j in np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
        if missing[:, j].astype(np.float64).tobytes() not in told
    ]
    targets = data.targets[train]
    return Preparation(
        mean=mean,
        # What rounding leaves of a constant column is no variation.
        deviation=np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1.0),
        indicated=np.array(indicated, dtype=np.int64),
        target_mean=float(targets.mean()) if data.regression else 0.0,
        target_deviation=(float(targets.std()) or 1.0) if data.regression else 1.0,
    )
