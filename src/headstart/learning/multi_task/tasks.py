"""The rows of several tasks as arrays: what the methods learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError

LEAST_ROWS = 2  # one to learn from, and one to see what was learned


@dataclass(frozen=True)
class TaskData:
    """N rows of T tasks.

    Attributes:
        name: of the table, for messages.
        features: shape (N, D), float64, NaN where a value is missing.
        targets: shape (N,): numbers (float64), or classes in [0, K) (int64).
        task: of each row, in [0, T), int64, shape (N,).
        task_names: T.
        feature_names: D.
        classes: K labels; none: regression.
        positions: latitude and longitude of each task in degrees, shape (T, 2); None: unknown.
    """

    name: str
    features: np.ndarray
    targets: np.ndarray
    task: np.ndarray
    task_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    positions: np.ndarray | None = None

    @property
    def regression(self) -> bool:
        """Whether the targets are numbers."""
        return not self.classes

    @property
    def outputs(self) -> int:
        """Outputs of a network: one for each class, or the number."""
        return len(self.classes) or 1


def tasks_of(name: str, table: pd.DataFrame, columns: Mapping[str, Any]) -> TaskData:
    """The arrays of a table that ingestion has made.

    Args:
        name: of the target.
        table: columns task (name), target and the features; its rows in the order of `row`.
        columns: `tasks`, `features`, `classes` and `positions` (task -> latitude, longitude).

    Raises:
        HeadstartError: as `check_tasks`.
    """
    names, features = tuple(columns["tasks"]), tuple(columns["features"])
    positions, classes = columns["positions"], tuple(columns["classes"] or ())
    data = TaskData(
        name=name,
        features=table[list(features)].to_numpy(np.float64),
        targets=table["target"].to_numpy(np.int64 if classes else np.float64),
        task=table["task"].map({task: i for i, task in enumerate(names)}).to_numpy(np.int64),
        task_names=names,
        feature_names=features,
        classes=classes,
        positions=np.array([positions[task] for task in names]) if positions else None,
    )
    check_tasks(data)
    return data


def check_tasks(data: TaskData) -> None:
    """Raise where a task cannot be learned.

    Args:
        data: all of its rows.

    Raises:
        HeadstartError: a task has too few rows, its target is constant or not finite.
    """
    for t, task in enumerate(data.task_names):
        targets = data.targets[data.task == t]
        if len(targets) < LEAST_ROWS:
            count = "one row" if len(targets) else "no row"
            raise HeadstartError(
                f"{data.name}: the task '{task}' has {count}; learning takes at least "
                f"{LEAST_ROWS}. Leave the task out, or add rows of it."
            )
        if not np.isfinite(targets).all():
            raise HeadstartError(
                f"{data.name}: the target of a row of the task '{task}' is not a number; mend or "
                "remove the row."
            )
        if (targets == targets[0]).all():
            value = data.classes[int(targets[0])] if data.classes else f"{targets[0]:g}"
            raise HeadstartError(
                f"{data.name}: the target is constant in the task '{task}' (always {value}), so "
                "there is nothing to learn; leave the task out."
            )
