"""What cannot be learned from in a table of several tasks, and why: rows, and whole tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd

from headstart.learning.look_ahead import look_ahead
from headstart.learning.task_splits import cut
from headstart.learning.task_table import Kind, TaskTable

# One row each for testing, training and choosing hyper-parameters.
MIN_PER_CLASS = 3


@dataclass(frozen=True)
class Screened:
    """What is left of a table, and what is not.

    Attributes:
        rows: path, task, target, digest, and with a time also time; numbered as in the table.
        aside: path and reason of each row that was set aside.
        tasks_aside: task -> why none of its rows can be used.
        duplicates: how many rows were a second copy of another.
    """

    rows: pd.DataFrame
    aside: pd.DataFrame
    tasks_aside: dict[str, str]
    duplicates: int


def screen_tasks(
    table: TaskTable, min_rows: int, test_share: float, validation_share: float
) -> Screened:
    """Set aside rows without task, time or target, and tasks that nothing can be learned of.

    Rows that are equal in all inputs, the target and (where there is one) the id are one example,
    kept once, whatever task they are found in. Of different rows at the same time in one task
    nobody knows which is right: all of them are set aside.

    Args:
        table: as it was read.
        min_rows: fewest rows that a task needs.
        test_share: of the rows; with a time, the last of them.
        validation_share: of the rest, likewise.
    """
    reasons = pd.Series(table.rows["mistake"], copy=True)
    rows = table.rows.assign(digest=_digests(table))
    repeated = rows[reasons == ""].duplicated(["digest"]).reindex(rows.index, fill_value=False)
    good = (reasons == "") & ~repeated
    if table.timed:
        twice = rows[good].duplicated(["task", "time"], keep=False)
        reasons[twice[twice].index] = "another row has the same task and time"
        good &= reasons == ""
    if table.ahead is not None:
        assert table.timed
        rows.loc[good, "target"] = look_ahead(rows[good], table.ahead, table.difference)
        hours = f"{table.ahead / pd.Timedelta(hours=1):g} h"
        missing = f"no target {hours} later" + (", or none now" if table.difference else "")
    else:
        missing = "no target"
    reasons = reasons.mask(good & rows["target"].isna(), missing)
    good &= reasons == ""
    kept = rows.loc[good, [c for c in ("path", "task", "time", "target", "digest") if c in rows]]
    tasks_aside = _unusable_tasks(kept, table, min_rows, test_share, validation_share)
    of_task = kept["task"].map(tasks_aside)
    reasons = reasons.mask(of_task.notna().reindex(rows.index, fill_value=False), of_task)
    aside = pd.DataFrame({"path": rows["path"], "reason": reasons})[reasons != ""]
    return Screened(
        kept[of_task.isna()], aside.reset_index(drop=True), tasks_aside, int(repeated.sum())
    )


def _digests(table: TaskTable) -> pd.Series:
    """Equal for rows that are equal in all that is learned from, and in their id."""
    own = table.rows[[c for c in ("time", "target", "id") if c in table.rows]]
    if table.timed:  # different tasks may well say the same at the same time
        own = own.assign(task=table.rows["task"])
    # No name is empty, so an empty text stands for a missing value alone.
    text = pd.concat([own, table.inputs], axis=1).astype("str").fillna("")
    lines = zip(*(text.iloc[:, i] for i in range(text.shape[1])), strict=True)
    digests = [hashlib.sha256("\x1f".join(line).encode()).hexdigest() for line in lines]
    return pd.Series(digests, index=table.rows.index, dtype="str")


def _unusable_tasks(
    kept: pd.DataFrame, table: TaskTable, min_rows: int, test_share: float, validation_share: float
) -> dict[str, str]:
    found: dict[str, str] = {}
    for task, target in kept.groupby("task")["target"]:
        if len(target) < min_rows:
            found[str(task)] = f"task has too few rows ({len(target)}, needs {min_rows})"
        elif target.nunique() == 1:
            found[str(task)] = f"target is constant in the task ({target.iloc[0]})"
        elif _lacks_classes(target, table.kind):
            found[str(task)] = f"task has too few examples of all classes but one ({MIN_PER_CLASS})"
    if table.timed:
        found |= _tasks_out_of_time(kept, table, found, test_share, validation_share)
    return found


def _lacks_classes(target: pd.Series, kind: Kind) -> bool:
    return kind == "classification" and (target.value_counts() >= MIN_PER_CLASS).sum() < 2


def _tasks_out_of_time(
    kept: pd.DataFrame,
    table: TaskTable,
    aside: dict[str, str],
    test_share: float,
    validation_share: float,
) -> dict[str, str]:
    """Tasks that have no row in one of the three periods.

    Without one task the periods may be others, so this is repeated until all tasks have all three.
    """
    found: dict[str, str] = {}
    while True:
        rows = kept[~kept["task"].isin([*aside, *found])]
        if rows.empty:
            return found
        development, test = cut(rows["time"], test_share, table.ahead)
        training, validation = cut(rows.loc[development, "time"], validation_share, table.ahead)
        lacking: dict[str, str] = {}
        for period, mask in (("test", test), ("training", training), ("validation", validation)):
            present = set(rows.loc[mask[mask].index, "task"])
            for task in set(rows["task"]) - present - set(lacking):
                lacking[str(task)] = f"task has no row in the {period} period"
        if not lacking:
            return found
        found |= lacking
