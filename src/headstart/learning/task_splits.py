"""Splits and draws of tables of several tasks: no leak between tasks, nor from the future.

Without a time every task is split on its own, its classes in equal shares. With a time all tasks
are cut at the same moments, since what one city's weather was tells much of its neighbor's:

    training | gap | validation | gap | test          --> time

A row at time s with a target at s + h belongs before a cut at c if s + h < c, after it if s >= c,
and otherwise (the gap, as long as h) to neither: when a model is chosen or tested, the targets
that it has learned from lay in the past.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.splits import Shots, round_half_up


def cut(times: pd.Series, share: float, ahead: pd.Timedelta | None) -> tuple[pd.Series, pd.Series]:
    """Which rows lie before and which after the moment that leaves a share of them after it.

    Args:
        times: of the rows.
        share: of the rows after the cut, rounded; rows of the same moment stay together.
        ahead: from a row to its target; None: the target is the row's own.

    Returns:
        Two masks; a row that is in neither lies in the gap.
    """
    if times.empty:
        return times.notna(), times.notna()
    count = min(max(1, round_half_up(share * len(times))), len(times))
    moment = times.sort_values().iloc[len(times) - count]
    return times + (ahead or pd.Timedelta(0)) < moment, times >= moment


def split_tasks(
    rows: pd.DataFrame, test_share: float, seed: int, ahead: pd.Timedelta | None
) -> pd.DataFrame:
    """Set the test rows apart.

    Args:
        rows: columns row, path, task, class (-1: none), digest, and with a time also time.
        test_share: share of each task, or with a time the last share of all rows; rounded, at least
            one row.
        seed: draws them where there is no time: rows are ranked by a hash of seed and digest, so
            that neither their order nor their names matter.
        ahead: from a row to its target.

    Returns:
        The rows with `task_index` (position of the task among the sorted tasks) and `split`:
        "development", "test", or "gap" between them.
    """
    tasks = {task: i for i, task in enumerate(sorted(rows["task"].unique()))}
    table = rows.assign(task_index=rows["task"].map(tasks).astype("int64"))
    if "time" in table:
        development, test = cut(table["time"], test_share, ahead)
        names = pd.Series("gap", index=table.index).mask(development, "development")
        return table.assign(split=names.mask(test, "test").astype("str"))
    keys = [hashlib.sha256(f"{seed} {digest}".encode()).hexdigest() for digest in table["digest"]]
    test = pd.Series(False, index=table.index)
    for _, group in table.assign(key=keys).groupby("task_index"):
        order = _interleaved(group.sort_values("key"))
        test[order.index[: min(max(1, round_half_up(test_share * len(order))), len(order) - 2)]] = (
            True
        )
    return table.assign(split=test.map({True: "test", False: "development"}).astype("str"))


def draw_tasks(
    splits: pd.DataFrame,
    shots: Sequence[Shots],
    seeds: int,
    validation_share: float,
    ahead: pd.Timedelta | None,
) -> pd.DataFrame:
    """Draw the rows of every fit, in each task so many.

    Each task has a pool for training and one for validation: with a time, the rows of the two
    periods; without one, the seed draws which rows are in which. `k` shots are the first k of each
    pool in an order that the seed draws and that mixes the classes evenly; so smaller draws are
    parts of larger ones, and as many rows choose hyper-parameters as are learned from. A task that
    has fewer gives all it has. All shots are both pools whole: with a time, the same for every
    seed.

    Args:
        splits: as `split_tasks` returns them, with `target`, the target's name.
        shots: labeled rows per task, or None for all.
        seeds: number of seeds, 0 to seeds - 1.
        validation_share: share of the development rows, rounded, at least one row of each task.
        ahead: from a row to its target.

    Returns:
        Columns shots (null: all), seed, role ("train" or "validation"), row, task.

    Raises:
        HeadstartError: no task has as many rows for training as the shots ask for.
    """
    development = splits[splits["split"] == "development"]
    periods = cut(development["time"], validation_share, ahead) if "time" in development else None
    tables = []
    for seed in range(seeds):
        pools: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        for task, group in development.groupby("task_index"):
            rng = np.random.default_rng([seed, int(str(task))])
            order = _interleaved(group.iloc[rng.permutation(len(group))])
            if periods is None:
                count = min(max(1, round_half_up(validation_share * len(order))), len(order) - 1)
                pools.append((order.iloc[count:], order.iloc[:count]))
            else:
                training, validation = (order[mask[order.index]] for mask in periods)
                pools.append((_interleaved(training), _interleaved(validation)))
        if seed == 0:
            _refuse_too_many_shots(splits["target"].iloc[0], [len(t) for t, _ in pools], shots)
        for k in shots:
            for role, part in (("train", 0), ("validation", 1)):
                rows = pd.concat([pool[part][:k] for pool in pools])[["row", "task"]]
                table = rows.sort_values("row").reset_index(drop=True)
                table.insert(0, "role", role)
                table.insert(0, "seed", seed)
                table.insert(0, "shots", pd.Series([k] * len(table), dtype="Int64"))
                tables.append(table)
    return pd.concat(tables, ignore_index=True).astype({"role": "str"})


def drawn_rows(draws: pd.DataFrame) -> pd.DataFrame:
    """How many rows each task gives at each number of shots, where the seeds differ the fewest.

    Args:
        draws: as `draw_tasks` returns them.

    Returns:
        Columns shots (null: all), task, train, validation.
    """
    by = ["shots", "seed", "task", "role"]
    counts = draws.groupby(by, dropna=False).size().unstack("role", fill_value=0)
    fewest = counts.groupby(["shots", "task"], dropna=False).min().reset_index()
    fewest.columns.name = None
    return fewest[["shots", "task", "train", "validation"]]


def _interleaved(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows so ordered that every beginning has each class in about its share of the whole."""
    within = rows.groupby("class").cumcount() + 0.5
    place = within / rows.groupby("class")["class"].transform("size")
    return rows.loc[place.sort_values(kind="stable").index]


def _refuse_too_many_shots(target: str, available: list[int], shots: Sequence[Shots]) -> None:
    asked = max((k for k in shots if k is not None), default=0)
    if asked > max(available):
        raise HeadstartError(
            f"{target}: {asked} shots are asked for, but no task has more than {max(available)} "
            "rows for training (the rest are test and validation data). Ask for at most "
            f"{max(available)} in `draws.shots`, or in `draws.shots_of.{target}` for this target "
            "alone; `all` always works."
        )
