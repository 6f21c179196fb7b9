"""Nodes of the ingestion stage for targets that are tables of several tasks."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.table_features import make_features
from headstart.learning.task_screening import screen_tasks
from headstart.learning.task_splits import draw_tasks, drawn_rows, split_tasks
from headstart.learning.task_table import TaskTable
from headstart.pipelines.ingestion.nodes import refuse_bad
from headstart.pipelines.ingestion.parameters import (
    DrawParameters,
    IngestionParameters,
    TableIngestionParameters,
)

Table = tuple[pd.DataFrame, dict[str, Any], pd.DataFrame, pd.DataFrame, dict[str, Any]]
_RESERVED = frozenset({"row", "task", "target", "time"})  # columns that are no features


def read_table(
    target: str,
    raw: TaskTable,
    ingestion: IngestionParameters,
    parameters: TableIngestionParameters,
    draws: DrawParameters,
) -> Table:
    """Set aside what cannot be used, say why, and make features of the rest.

    Args:
        target: name of the target.
        raw: the table as it was read.
        ingestion: share of the test rows.
        parameters: what a task needs, and how columns become features.
        draws: share of the validation rows.

    Returns:
        The table (row, task, target, with a time also time, then the features); what its columns
        are; its rows as they are split (row, path, task, class, digest, time); what was set aside
        (target, role, path, reason); and counts.

    Raises:
        HeadstartError: there is one task alone, or nothing to predict from.
    """
    refuse_one_task(target, raw.rows["task"].dropna().unique(), {})
    found = screen_tasks(raw, parameters.min_rows, ingestion.test_share, draws.validation_share)
    aside = found.aside.assign(target=target, role="target")
    quarantine = aside[["target", "role", "path", "reason"]].astype("str")
    counts = {
        "target": target,
        "read": {"target": len(raw.rows), "source": 0},
        "set_aside": {"target": len(aside), "source": 0},
        "duplicates_removed": {"within_target": found.duplicates},
        "tasks_set_aside": found.tasks_aside,
    }
    rows = found.rows
    features = make_features(
        raw,
        rows.index,
        missing_share=parameters.missing_share,
        most_categories=parameters.most_categories,
        reserved=_RESERVED,
    )
    own = [c for c in ("task", "target", "time") if c in rows]
    table = pd.concat([rows[own], features.table], axis=1)
    classes = None
    if raw.kind == "classification":
        classes = sorted(rows["target"].unique())
        table["target"] = table["target"].map({c: i for i, c in enumerate(classes)})
        table["target"] = table["target"].astype("int64")
    table = table.reset_index(drop=True).rename_axis("row").reset_index()
    screened = rows.drop(columns="target").reset_index(drop=True)
    screened.insert(0, "row", table["row"])
    screened["class"] = table["target"] if classes else -1
    tasks = sorted(rows["task"].unique())
    columns = {
        "kind": raw.kind,
        "task_column": raw.task_name,
        "target_column": raw.target_name,
        "classes": classes,
        "ahead": None if raw.ahead is None else str(raw.ahead),
        "difference": raw.difference,
        "tasks": tasks,
        "positions": _positions(target, raw, tasks),
        "features": list(features.table),
        "made_from": features.made_from,
        "codings": [asdict(one) for one in features.codings],
        "missing_values": list(raw.missing_values),
        "missing": features.missing,
        "outside_limits": features.outside,
        "left_out": features.left_out,
    }
    return table, columns, screened, quarantine, counts


def split_table(
    target: str,
    screened: pd.DataFrame,
    columns: dict[str, Any],
    quarantine: pd.DataFrame,
    counts: dict[str, Any],
    parameters: IngestionParameters,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Set the test rows apart.

    Args:
        target: name of the target.
        screened: its good rows.
        columns: what the columns of its table are.
        quarantine: what was set aside, of all targets (on disk before this node can stop the run).
        counts: of rows read and set aside.
        parameters: shares and seed.

    Returns:
        The splits (target, row, path, task, task_index, class, with a time also time, split); and
        the counts, completed.

    Raises:
        HeadstartError: fewer than two tasks are left, or too much was set aside.
    """
    refuse_one_task(target, columns["tasks"], counts["tasks_set_aside"])
    refuse_bad(target, quarantine, counts, parameters.max_bad_share)
    splits = split_tasks(
        screened, parameters.test_share, parameters.split_seed, _ahead(columns)
    ).assign(target=pd.Series([target] * len(screened), dtype="str"))
    order = ["target", "row", "path", "task", "task_index", "class", "time", "split"]
    by_task = splits.groupby(["task", "split"]).size().unstack(fill_value=0)
    summary = {
        **counts,
        "splits": {str(k): int(n) for k, n in splits["split"].value_counts().items()},
        "tasks": {
            str(task): {str(k): int(n) for k, n in row.items()} for task, row in by_task.iterrows()
        },
    }
    if columns["classes"]:
        sizes = splits["class"].value_counts()
        summary["classes"] = {name: int(sizes[i]) for i, name in enumerate(columns["classes"])}
    if "time" in splits:
        spans = splits.groupby("split")["time"].agg(["min", "max"])
        summary["periods"] = {
            str(split): f"{low.isoformat()} to {high.isoformat()}"
            for split, low, high in spans.itertuples()
        }
    return splits[[c for c in order if c in splits]], summary


def draw_rows(
    target: str, splits: pd.DataFrame, columns: dict[str, Any], parameters: DrawParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the rows that each fit may see, and count what each task gives.

    Raises:
        HeadstartError: no task has as many rows as the shots ask for.
    """
    draws = draw_tasks(
        splits,
        parameters.of(target),
        parameters.seeds,
        parameters.validation_share,
        _ahead(columns),
    )
    return draws, drawn_rows(draws)


def refuse_one_task(target: str, tasks: Collection[str], aside: Mapping[str, str]) -> None:
    """Raise where there are no two tasks to learn across.

    Args:
        target: name of the target.
        tasks: that can be used.
        aside: task that cannot -> why.

    Raises:
        HeadstartError: there are fewer than two tasks.
    """
    if len(tasks) < 2:
        found = f"one task alone, '{sorted(tasks)[0]}'," if len(tasks) else "no task"
        why = "; ".join(f"'{task}': {reason}" for task, reason in list(aside.items())[:5])
        raise HeadstartError(
            f"{target}: {found} can be used; to learn across tasks takes at least two."
            + (f" Set aside were {why}." if why else "")
            + " Name the column of the tasks in the catalog as task_column; what a task needs "
            "stands in table_ingestion, and what was set aside in 08_reporting/quarantine.parquet."
        )


def _positions(
    target: str, raw: TaskTable, tasks: list[str]
) -> dict[str, tuple[float, float]] | None:
    if not raw.positions:
        return None
    known = set(raw.rows["task"].dropna())
    if unknown := sorted(set(raw.positions) - known):
        raise HeadstartError(
            f"{target}: positions names the task '{unknown[0]}', which the table does not have; it "
            f"has {', '.join(sorted(known)[:10])}."
        )
    if lacking := sorted(set(tasks) - set(raw.positions)):
        raise HeadstartError(
            f"{target}: the task '{lacking[0]}' has no position, but others have; give all of them "
            "one, or none."
        )
    return {task: raw.positions[task] for task in tasks}


def _ahead(columns: dict[str, Any]) -> pd.Timedelta | None:
    return None if columns["ahead"] is None else pd.Timedelta(columns["ahead"])
