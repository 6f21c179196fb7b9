"""A fitted model of several tasks as it is handed over, and what it says of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.multi_task.task_model import TaskModel
from headstart.learning.table_columns import as_names
from headstart.learning.table_features import ColumnCoding

MOST_NAMES = 10  # in a message


@dataclass(frozen=True)
class FittedTasks:
    """A model that is ready to predict from a table as it stands in its file.

    Attributes:
        config: what it is, what it scored, and how the table is read: `task_column`,
            `missing_values` (that mean that there is none); JSON-able.
        codings: how columns of the table become the model's features, in its order.
        model: preparation and networks.
    """

    config: dict[str, Any]
    codings: Sequence[ColumnCoding]
    model: TaskModel

    @property
    def columns(self) -> list[str]:
        """The columns that a table has to have."""
        return [self.config["task_column"], *(one.column for one in self.codings)]


@dataclass(frozen=True)
class Predicted:
    """What a model says of a table.

    Attributes:
        table: one row a row: `task`, and for numbers `predicted`, in the target's unit; for classes
            `label`, the most probable one, its `probability`, and `probability_<class>` of each.
        unread: column -> values that are no numbers, or no category that the model knows, and
            count as missing, each once.
        new_tasks: tasks that the model has not seen and predicts all the same.
    """

    table: pd.DataFrame
    unread: dict[str, list[str]]
    new_tasks: list[str]


def predict_rows(fitted: FittedTasks, table: pd.DataFrame, said: str) -> Predicted:
    """Predict the target of every row.

    Args:
        fitted: the model.
        table: the task column and the columns that the features are made from, as they were in the
            table that the model learned from; others do no harm.
        said: what the table is called in messages.

    Raises:
        HeadstartError: there is no row, a column is missing, or there are tasks that the model has
            no network for.
    """
    if table.empty:
        raise HeadstartError(f"{said} has no row to predict.")
    if lacking := [name for name in fitted.columns if name not in table.columns]:
        raise HeadstartError(
            f"{said} lacks {_named('column', lacking)}, which the model of {_target(fitted)} "
            f"predicts from; it has {', '.join(map(str, table.columns))}. Where the values are not "
            "known, leave the column empty."
        )
    table = table.reset_index(drop=True)
    table = table.mask(table.isin(fitted.config["missing_values"]))
    names = as_names(table[fitted.config["task_column"]])
    places = {name: t for t, name in enumerate(fitted.model.task_names)}
    known = names.isin(list(places))
    if not known.all() and fitted.model.needs_the_task:
        raise HeadstartError(_unknown_tasks(fitted, names[~known], said))
    parts, unread = [], {}
    for coding in fitted.codings:
        values, wrong = coding.read(table[coding.column])
        if len(wrong):
            unread[coding.column] = [str(value) for value in wrong.unique()]
        parts.append(coding.apply(values))
    features = pd.concat(parts, axis=1)[list(fitted.model.feature_names)].to_numpy(np.float64)
    task = names.map(places).fillna(0).to_numpy(np.int64)  # of a new one any will do
    found = fitted.model.predict(features, task)
    made: dict[str, Any] = {"task": names}
    if fitted.model.classes:
        made["label"] = np.asarray(fitted.model.classes, dtype=object)[found.argmax(axis=1)]
        made["probability"] = found.max(axis=1)
        made |= {f"probability_{c}": found[:, k] for k, c in enumerate(fitted.model.classes)}
    else:
        made["predicted"] = found
    return Predicted(pd.DataFrame(made), unread, _each_once(names[~known]))


def _unknown_tasks(fitted: FittedTasks, names: pd.Series, said: str) -> str:
    return (
        f"{said} has {len(names):,} row{'s' if len(names) > 1 else ''} (the first is number "
        f"{names.index[0]}) of {_named('task', _each_once(names))}, which the model of "
        f"{_target(fitted)} has no network for; it knows "
        f"{_listed(fitted.model.task_names)}. Leave these rows out, or hand over one network for "
        "all tasks, which can predict for a task that it has not seen: "
        f"kedro run --params targets={_target(fitted)},tables.methods=pooled"
    )


def _each_once(names: pd.Series) -> list[str]:
    return sorted("(no name)" if pd.isna(name) else str(name) for name in names.unique())


def _target(fitted: FittedTasks) -> str:
    return str(fitted.config["target"])


def _named(kind: str, names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"the {kind}{'s' if len(names) > 1 else ''} {_listed(quoted)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(list(names)[:MOST_NAMES]) + more
