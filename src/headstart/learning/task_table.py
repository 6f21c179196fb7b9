"""A table of several tasks, as it was read: what the stages of its ingestion start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

Kind = Literal["regression", "classification"]
Position = tuple[float, float]  # latitude and longitude, degrees


@dataclass(frozen=True)
class TaskTable:
    """Rows of several tasks with their inputs, nothing set aside yet.

    Attributes:
        rows: one row an example: `path` (what it is called), `task` (name), `target` (a number, or
            the name of a class), `mistake` (why task, time or target could not be read); with a
            time also `time` (UTC). Null where there is none.
        inputs: the columns to predict from, row by row beside `rows`: numbers (float64) or text.
        target_name: the target column's own name.
        kind: of the target.
        ahead: the target is the target column's value so much later; None: the row's own.
        difference: of that value to the row's own, instead of the value.
        limits: input -> smallest and largest value; what lies outside is a missing value.
        cycles: input -> its period, for a number that goes round (an hour: 24, an angle: 360).
        positions: task -> its position.
        left_out: column of the table that is no input -> why.
        chosen: the user has named the inputs; otherwise they are all columns that can be.
        task_name: the task column's own name.
        missing_values: that meant that there is none.
    """

    rows: pd.DataFrame
    inputs: pd.DataFrame
    target_name: str
    kind: Kind
    ahead: pd.Timedelta | None = None
    difference: bool = False
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    cycles: Mapping[str, float] = field(default_factory=dict)
    positions: Mapping[str, Position] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    chosen: bool = False
    task_name: str = "task"
    missing_values: Sequence[Any] = ()

    @property
    def timed(self) -> bool:
        """Whether its rows are ordered in time."""
        return "time" in self.rows
