"""Screening of tables of tasks, and the targets of forecasts: by hand, and against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.look_ahead import look_ahead
from headstart.learning.task_screening import Screened, screen_tasks
from headstart.learning.task_table import Kind, TaskTable

HOUR = pd.Timedelta(hours=1)
START = pd.Timestamp("2020-01-01", tz="UTC")


def table(
    tasks: list[Any],
    targets: list[Any],
    hours: list[float] | None = None,
    kind: Kind = "regression",
    inputs: list[Any] | None = None,
    **options: Any,
) -> TaskTable:
    rows = pd.DataFrame({"path": [f"x#{i}" for i in range(len(tasks))], "task": tasks})
    rows["mistake"] = pd.Series(["" if t is not None else "no task" for t in tasks], dtype="str")
    if hours is not None:
        rows["time"] = [START + hour * HOUR for hour in hours]
    rows["target"] = pd.Series(targets, dtype="float64" if kind == "regression" else "str")
    values = list(range(len(tasks))) if inputs is None else inputs
    return TaskTable(rows, pd.DataFrame({"x": values}), "y", kind, **options)


def screened(raw: TaskTable, min_rows: int = 3, share: float = 0.25) -> Screened:
    return screen_tasks(raw, min_rows, share, share)


def reasons(found: Screened) -> dict[str, str]:
    return dict(found.aside.itertuples(index=False))


@given(
    hours=st.lists(st.integers(0, 40), min_size=2, max_size=30, unique=True),
    ahead=st.integers(1, 12),
    difference=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_looking_ahead_is_a_look_up_in_the_same_task(
    hours: list[int], ahead: int, difference: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame([(t, h) for t in "ab" for h in hours], columns=["task", "hour"])
    rows["target"] = rng.normal(size=len(rows)).round(3)
    rows.loc[rng.random(len(rows)) < 0.2, "target"] = np.nan
    rows["time"] = START + rows["hour"] * HOUR
    rows = rows.sample(frac=1, random_state=seed)
    values = {(r.task, r.hour): r.target for r in rows.itertuples()}
    expected = [
        values.get((r.task, r.hour + ahead), np.nan) - (r.target if difference else 0)
        for r in rows.itertuples()
    ]
    found = look_ahead(rows, ahead * HOUR, difference)
    assert found.index.equals(rows.index)
    assert np.array_equal(found.to_numpy(), np.array(expected), equal_nan=True)


def test_rows_without_task_or_target_are_set_aside_and_copies_removed() -> None:
    raw = table(
        ["a"] * 5 + [None] + ["b"] * 5,
        [1, 2, 3, None, 1, 9, 1, 2, 3, 4, 5],
        inputs=[0, 1, 2, 3, 0, 4, 0, 6, 7, 8, 9],
    )
    found = screened(raw)
    assert reasons(found) == {"x#3": "no target", "x#5": "no task"}
    # Row 4 is row 0 again, and row 6 is the same under another task: each a leak between splits.
    assert found.duplicates == 2
    assert found.rows["path"].tolist() == [f"x#{i}" for i in (0, 1, 2, 7, 8, 9, 10)]


def test_rows_with_an_id_of_their_own_are_no_copies() -> None:
    raw = table(["a"] * 4 + ["b"] * 4, [1, 1, 2, 2] * 2, inputs=[0] * 8)
    raw.rows["id"] = [str(i) for i in range(8)]
    found = screened(raw)
    assert found.duplicates == 0
    assert len(found.rows) == 8


def test_missing_values_do_not_make_different_rows_equal() -> None:
    raw = table(["a"] * 4 + ["b"] * 4, [1, 1, 2, 3] * 2, inputs=[0.0, None, 1, 2, 4, 5, 6, 7])
    assert screened(raw).duplicates == 0


def test_tasks_that_nothing_can_be_learned_of() -> None:
    raw = table(
        ["one"] + ["same"] * 4 + ["good"] * 4 + ["fine"] * 4,
        [1, *[5] * 4, *range(4), *range(4)],
    )
    found = screened(raw)
    assert found.tasks_aside == {
        "one": "task has too few rows (1, needs 3)",
        "same": "target is constant in the task (5.0)",
    }
    assert set(found.rows["task"]) == {"good", "fine"}
    assert len(found.aside) == 5
    assert reasons(found)["x#0"] == "task has too few rows (1, needs 3)"


def test_a_task_needs_two_classes_that_are_there_in_every_split() -> None:
    names = ["u"] * 3 + ["v"] * 3
    raw = table(
        ["a"] * 6 + ["b"] * 6 + ["c"] * 6,
        [*names, *names, *["u"] * 4, "v", "v"],
        kind="classification",
    )
    found = screened(raw)
    assert found.tasks_aside == {"c": "task has too few examples of all classes but one (3)"}


def test_one_time_twice_in_a_task() -> None:
    hours = [0, 0, 1, 1, *range(2, 12), *range(12)]
    raw = table(
        ["a"] * 14 + ["b"] * 12,
        [1, 2, 3, 3, *range(10), *range(12)],
        hours,
        inputs=[0, 1, 5, 5, *range(22)],
    )
    found = screened(raw)
    again = "another row has the same task and time"
    assert reasons(found) == {"x#0": again, "x#1": again}  # nobody knows which is right
    assert found.duplicates == 1  # the rows at 01:00 are one


def test_forecasts_and_rows_without_a_later_one() -> None:
    hours = [h for h in range(20) if h != 10]
    raw = table(["a"] * 19 + ["b"] * 19, [h * h for h in hours] * 2, hours * 2, ahead=HOUR)
    found = screened(raw)
    assert reasons(found) == {f"x#{i}": "no target 1 h later" for i in (9, 18, 28, 37)}
    assert found.rows["target"].tolist()[:9] == [h * h for h in range(1, 10)]
    changes = screened(table(*_columns(raw), ahead=HOUR, difference=True))
    assert changes.rows["target"].tolist()[:9] == [2 * h + 1 for h in range(9)]


def _columns(raw: TaskTable) -> tuple[list[Any], list[Any], list[float]]:
    hours = ((raw.rows["time"] - START) / HOUR).tolist()
    return raw.rows["task"].tolist(), raw.rows["target"].tolist(), hours


@pytest.mark.parametrize(
    ("hours", "period"), [(range(0, 20), "test"), (range(42, 60), "training"), (None, None)]
)
def test_a_task_needs_rows_in_every_period(hours: range | None, period: str | None) -> None:
    own = list(hours if hours is not None else range(60))
    raw = table(
        ["a"] * 60 + ["b"] * 60 + ["c"] * len(own),
        [*range(60), *range(60), *own],
        [*range(60), *range(60), *own],
    )
    found = screened(raw)
    expected = {} if period is None else {"c": f"task has no row in the {period} period"}
    assert found.tasks_aside == expected


def test_of_tasks_that_share_no_time_one_is_left() -> None:
    raw = table(["a"] * 9 + ["b"] * 9, [*range(18)], [*range(9), *range(1000, 1009)])
    found = screened(raw)
    assert found.tasks_aside == {"a": "task has no row in the test period"}
    assert set(found.rows["task"]) == {"b"}
