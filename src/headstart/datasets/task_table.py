"""A table of several tasks: one row an example, one column the task that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from headstart.datasets.tables import read_table
from headstart.learning.table_columns import as_names, as_numbers, as_times, seems_numeric
from headstart.learning.task_table import Position, TaskTable

_KINDS = (None, "regression", "classification")


class TaskTableDataset(AbstractDataset[Any, TaskTable]):
    """Examples of several related tasks: of cities, hospitals, schools, machines.

    An example is called by the table's file name and its row, `weather.csv#17`, counted from 0.

    Example:
        ```yaml
        my_machines.target:
          type: headstart.datasets.TaskTableDataset
          filepath: data/01_raw/machines.csv
          task_column: machine
          target_column: wear
          time_column: measured_at
          ahead: 24h
        ```

    Args:
        filepath: the table: .csv, .tsv, .tab (packed or not), .parquet, or .jsonl.
        task_column: column of the names of the tasks.
        target_column: column of what is predicted.
        kind: "regression" or "classification"; None: numbers with more than two different values
            are regression, everything else is classification.
        features: columns to predict from; None: all that are numbers or categories and not
            named otherwise here. With `ahead` the target's present value is one of them.
        drop: columns that are not predicted from.
        id_column: column that tells examples apart: rows that are equal but for it are not one
            example twice.
        time_column: column of the time, or columns of year, month, day, hour, minute, second, in
            this order and as many as there are. Times without a zone are taken as UTC.
        time_format: of text, as `strptime` has it; None: found out.
        time_unit: what a column of numbers counts since 1970 ("s", "h", "D").
        ahead: predict the target column's value so much later in the same task (`24h`, `7D`);
            None: that of the row itself.
        difference: predict its change from now till then.
        latitude_column: column of the tasks' latitude, degrees; longitude_column likewise.
        longitude_column: column of the tasks' longitude, degrees.
        positions: task -> [latitude, longitude], degrees, instead of the two columns.
        limits: column -> [smallest, largest] value; what lies outside counts as missing.
        cycles: column -> period, for a number that goes round: an hour 24, an angle 360.
        missing_values: values that mean that there is none, in all columns.
        table: configuration of another dataset that reads the file, without its `filepath`.
        load_args: for `pandas.read_csv`, `read_parquet` or `read_json`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        task_column: str,
        target_column: str,
        kind: str | None = None,
        features: Sequence[str] | None = None,
        drop: Sequence[str] = (),
        id_column: str | None = None,
        time_column: str | Sequence[str] | None = None,
        time_format: str | None = None,
        time_unit: str | None = None,
        ahead: str | None = None,
        difference: bool = False,
        latitude_column: str | None = None,
        longitude_column: str | None = None,
        positions: Mapping[Any, Sequence[float]] | None = None,
        limits: Mapping[str, Sequence[float]] | None = None,
        cycles: Mapping[str, float] | None = None,
        missing_values: Sequence[Any] = (),
        table: dict[str, Any] | None = None,
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._options = {k: v for k, v in locals().items() if k not in ("self", "metadata")}
        self._options.pop("__class__", None)
        self._filepath = Path(filepath)
        self._task, self._target, self._kind, self._id = task_column, target_column, kind, id_column
        self._features = None if features is None else list(features)
        self._drop = list(drop)
        one = isinstance(time_column, str)
        self._times: list[str] = (
            [] if time_column is None else ([str(time_column)] if one else list(time_column))
        )
        self._in_parts = not one
        self._time_format, self._time_unit = time_format, time_unit
        self._ahead, self._difference = _duration(ahead), difference
        self._place = [c for c in (latitude_column, longitude_column) if c is not None]
        self._positions = {str(k): _position(k, v) for k, v in (positions or {}).items()}
        self._limits = {k: _limit(k, v) for k, v in (limits or {}).items()}
        self._cycles = {k: float(v) for k, v in (cycles or {}).items()}
        self._missing_values = list(missing_values)
        self._table = table
        self._load_args = load_args or {}
        self.metadata = metadata
        self._refuse_options_that_do_not_fit()

    def load(self) -> TaskTable:
        """Read the table and tell its columns apart.

        Raises:
            DatasetError: there is no table or no such column, or a column is not what it should be.
        """
        table = self._read()
        self._refuse_missing_columns(table)
        rows = pd.DataFrame(
            {
                "path": [f"{self._filepath.name}#{row}" for row in range(len(table))],
                "task": as_names(table[self._task]),
            }
        )
        mistakes = pd.Series("", index=rows.index, dtype="str").mask(rows["task"].isna(), "no task")
        if self._times:
            rows["time"], wrong = self._time(table)
            mistakes = mistakes.mask((mistakes == "") & (wrong != ""), wrong)
        kind = self._kind or self._found_kind(table[self._target])
        if kind == "regression":
            rows["target"], unreadable = as_numbers(table[self._target])
            if not unreadable.empty and rows["target"].notna().sum() == 0:
                raise DatasetError(
                    f"{self._said()} has no number in the column '{self._target}', but regression "
                    "predicts one. Say `kind: classification`, or name another target_column."
                )
            wrong = f"{self._target} is not a number: '" + unreadable + "'"
            wrong = wrong.reindex(rows.index, fill_value="")
            mistakes = mistakes.mask((mistakes == "") & (wrong != ""), wrong)
        else:
            rows["target"] = as_names(table[self._target])
        if self._id is not None:
            rows["id"] = as_names(table[self._id])
        rows["mistake"] = mistakes
        inputs, left_out = self._inputs(table)
        return TaskTable(
            rows,
            inputs,
            self._target,
            "regression" if kind == "regression" else "classification",
            ahead=self._ahead,
            difference=self._difference,
            limits=self._limits,
            cycles=self._cycles,
            positions=self._positions or self._read_positions(table, rows["task"]),
            left_out=left_out,
            chosen=self._features is not None,
            task_name=self._task,
            missing_values=self._missing_values,
        )

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def fingerprint(self) -> str:
        """Equal when the same rows are loaded."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        options = {k: v for k, v in self._options.items() if k != "filepath"}
        return value_fingerprint([options, path_fingerprint(self._filepath)])

    def _read(self) -> pd.DataFrame:
        if self._table is None:
            table = read_table(self._filepath, "table of tasks", self._load_args)
        else:
            config = {**self._table, "filepath": str(self._filepath)}
            table = AbstractDataset.from_config("table", config).load()
        if not isinstance(table, pd.DataFrame) or table.empty:
            raise DatasetError(f"{self._said()} has no row to read.")
        table = table.reset_index(drop=True)
        table.columns = pd.Index([str(name) for name in table.columns])
        if self._missing_values:
            table = table.mask(table.isin(self._missing_values))
        return table

    def _time(self, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        columns = table[self._times]
        try:
            times, wrong = as_times(columns, self._in_parts, self._time_format, self._time_unit)
        except ValueError as error:
            raise DatasetError(f"{self._said()}, time_column: {error}") from error
        if times.isna().all():
            raise DatasetError(
                f"{self._said()} has no time that can be read in {', '.join(self._times)}: "
                f"{wrong.iloc[0]}. Say how it is written with time_format, for instance "
                "'%d.%m.%Y %H:%M', or name other columns as time_column."
            )
        return times, wrong

    def _found_kind(self, values: pd.Series) -> str:
        if not seems_numeric(values):
            return "classification"
        numbers, _ = as_numbers(values)
        return "regression" if numbers.nunique() > 2 else "classification"

    def _inputs(self, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
        """The columns to predict from, and why the others are none."""
        other = {
            **{self._task: "the task"},
            **dict.fromkeys(self._times, "the time"),
            **dict.fromkeys(self._place, "the position"),
            **({} if self._id is None else {self._id: "tells examples apart"}),
            **({} if self._ahead is not None else {self._target: "the target"}),
            **dict.fromkeys(self._drop, "dropped in the catalog"),
        }
        if self._features is not None:
            unnamed = [c for c in table.columns if c not in self._features and c not in other]
            other |= dict.fromkeys(unnamed, "not among the features")
            other = {c: why for c, why in other.items() if c not in self._features}
        inputs: dict[str, pd.Series] = {}
        for name in table.columns:
            if name in other:
                continue
            values = table[name]
            if pd.api.types.is_datetime64_any_dtype(values) or values.dtype.kind == "m":
                other[name] = "a time"
            elif seems_numeric(values):
                inputs[name], _ = as_numbers(values)
            else:
                inputs[name] = as_names(values)
        if not inputs:
            raise DatasetError(
                f"{self._said()} has no column to predict from: "
                f"{'; '.join(f'{c}: {why}' for c, why in other.items())}."
            )
        return pd.DataFrame(inputs), {c: other[c] for c in table.columns if c in other}

    def _read_positions(self, table: pd.DataFrame, tasks: pd.Series) -> dict[str, Position]:
        if not self._place:
            return {}
        places = table[self._place].apply(lambda column: as_numbers(column)[0])
        found: dict[str, Position] = {}
        for task, group in places.dropna().groupby(tasks):
            if len(group.drop_duplicates()) > 1:
                raise DatasetError(
                    f"{self._said()} has several positions for the task '{task}'; a task has one. "
                    "Write it in the catalog, as `positions: {task: [latitude, longitude]}`."
                )
            found[str(task)] = _position(task, group.iloc[0].tolist())
        return found

    def _refuse_missing_columns(self, table: pd.DataFrame) -> None:
        for option, names in (
            ("task_column", [self._task]),
            ("target_column", [self._target]),
            ("time_column", self._times),
            ("id_column", [] if self._id is None else [self._id]),
            ("latitude_column and longitude_column", self._place),
            ("features", self._features or []),
            ("drop", self._drop),
            ("limits", list(self._limits)),
            ("cycles", list(self._cycles)),
        ):
            if missing := [name for name in names if name not in table.columns]:
                raise DatasetError(
                    f"{self._said()} has no column '{missing[0]}'; it has "
                    f"{', '.join(table.columns)}. Name its columns in the catalog ({option})."
                )

    def _refuse_options_that_do_not_fit(self) -> None:
        if self._kind not in _KINDS:
            raise DatasetError(
                f"kind: '{self._kind}' is neither 'regression' nor 'classification'."
            )
        if self._ahead is not None and not self._times:
            raise DatasetError("ahead: to look ahead takes a time; name its column (time_column).")
        if self._difference and (self._ahead is None or self._kind == "classification"):
            raise DatasetError("difference: it is that of a number to its value `ahead` of it.")
        if len(self._place) == 1:
            raise DatasetError("A position takes both latitude_column and longitude_column.")

    def _said(self) -> str:
        return f"The table of tasks {self._filepath}"

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {k: v for k, v in self._options.items() if v not in (None, (), False)}


def _duration(ahead: str | None) -> pd.Timedelta | None:
    if ahead is None:
        return None
    try:
        duration = pd.Timedelta(ahead)
    except ValueError as error:
        raise DatasetError(f"ahead: '{ahead}' is no duration; write for instance 24h.") from error
    if not duration > pd.Timedelta(0):
        raise DatasetError(f"ahead: '{ahead}' does not lie in the future.")
    return duration


def _position(task: Any, values: Sequence[float]) -> Position:
    if len(values) != 2 or abs(values[0]) > 90 or abs(values[1]) > 180:
        raise DatasetError(
            f"positions: {task}: {list(values)} is not [latitude, longitude] in degrees."
        )
    return float(values[0]), float(values[1])


def _limit(column: str, values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2 or not values[0] < values[1]:
        raise DatasetError(f"limits: {column}: {list(values)} is not [smallest, largest].")
    return float(values[0]), float(values[1])
