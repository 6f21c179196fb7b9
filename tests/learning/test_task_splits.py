"""Splits and draws of tasks: nothing of the future is learned from, every task has its share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.splits import draws_of
from headstart.learning.task_splits import cut, draw_tasks, drawn_rows, split_tasks

HOUR = pd.Timedelta(hours=1)
SIZES = st.lists(st.integers(3, 40), min_size=2, max_size=5)  # rows of each task
SHARES = st.floats(0.05, 0.9)
SEEDS = st.integers(0, 2**31)
NO_TIME = None


def rows_of(sizes: list[int], classes: int = 1, seed: int = 0) -> pd.DataFrame:
    """Tasks t0, t1, ...; their rows are mixed."""
    tasks = np.repeat([f"t{i}" for i in range(len(sizes))], sizes)
    rng = np.random.default_rng(seed)
    tasks = rng.permutation(tasks)
    names = [str(i) for i in range(len(tasks))]
    kinds = rng.integers(0, classes, len(tasks)) if classes > 1 else np.full(len(tasks), -1)
    return pd.DataFrame(
        {"row": range(len(tasks)), "path": names, "task": tasks, "class": kinds, "digest": names}
    )


def timed_rows(tasks: int, hours: int, seed: int) -> pd.DataFrame:
    """Hourly rows of tasks, some of them missing, in no order."""
    rng = np.random.default_rng(seed)
    rows = [(f"t{t}", h) for t in range(tasks) for h in range(hours) if rng.random() < 0.9]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    frame = pd.DataFrame(rows, columns=["task", "hour"])
    frame["time"] = pd.Timestamp("2020-01-01", tz="UTC") + frame.pop("hour") * HOUR
    names = [str(i) for i in range(len(frame))]
    return frame.assign(row=range(len(frame)), path=names, digest=names).assign(**{"class": -1})


@given(SIZES, st.integers(1, 3), SHARES, SEEDS)
@settings(max_examples=50, deadline=None)
def test_each_task_is_split_in_equal_shares(
    sizes: list[int], classes: int, share: float, seed: int
) -> None:
    rows = rows_of(sizes, classes, seed)
    splits = split_tasks(rows, share, seed, NO_TIME)
    assert sorted(splits["row"]) == list(range(sum(sizes)))
    for t, n in enumerate(sizes):
        own = splits[splits["task_index"] == t]
        assert set(own["task"]) == {f"t{t}"}
        test = own[own["split"] == "test"]
        assert len(test) == min(max(1, int(np.floor(share * n + 0.5))), n - 2)
        for c, size in own["class"].value_counts().items():  # each class within one of its share
            assert abs((test["class"] == c).sum() - len(test) * size / n) <= 1


@given(SIZES, SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_names_matter(sizes: list[int], seed: int, random: object) -> None:
    rows = rows_of(sizes, 2)
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = rows.iloc[order].reset_index(drop=True).assign(row=range(len(rows)), path="x")
    first = split_tasks(rows, 0.25, seed, NO_TIME).set_index("digest")["split"]
    second = split_tasks(shuffled, 0.25, seed, NO_TIME).set_index("digest")["split"]
    assert first.sort_index().equals(second.sort_index())


@given(SIZES, st.integers(1, 3), SHARES, st.integers(1, 3), SEEDS)
@settings(max_examples=40, deadline=None)
def test_draws_do_not_leak_and_are_nested(
    sizes: list[int], classes: int, validation_share: float, seeds: int, seed: int
) -> None:
    splits = split_tasks(rows_of(sizes, classes, seed), 0.25, seed, NO_TIME).assign(target="x")
    development = splits[splits["split"] == "development"]
    pools = development["task"].value_counts().sort_index()
    validation = np.clip(np.floor(validation_share * pools + 0.5), 1, pools - 1).astype(int)
    training = pools - validation
    shots = [*sorted({1, max(1, int(training.max()) // 2), int(training.max())}), None]
    table = draw_tasks(splits, shots, seeds, validation_share, NO_TIME)
    draws = list(draws_of(table))
    assert [(d.shots, d.seed) for d in draws] == [(k, s) for k in shots for s in range(seeds)]
    task = splits.set_index("row")["task"]
    for d in draws:
        assert not set(d.train) & set(d.validation)
        assert set(d.train) | set(d.validation) <= set(development["row"])
        for rows, most in ((d.train, training), (d.validation, validation)):
            expected = most if d.shots is None else np.minimum(most, d.shots)
            assert task[rows].value_counts().sort_index().equals(expected.rename("count"))
    for fewer, more in zip(draws, draws[seeds:], strict=False):
        assert set(fewer.train) <= set(more.train)
        assert set(fewer.validation) <= set(more.validation)
    said = drawn_rows(table)
    everything = said[said["shots"].isna()].set_index("task")
    assert everything["train"].to_dict() == training.to_dict()
    assert everything["validation"].to_dict() == validation.to_dict()


@given(
    tasks=st.integers(2, 4),
    hours=st.integers(100, 200),
    ahead=st.sampled_from([None, HOUR, 5 * HOUR]),
    share=st.floats(0.1, 0.5),
    validation_share=st.floats(0.1, 0.5),
    seed=SEEDS,
)
@settings(max_examples=40, deadline=None)
def test_nothing_of_the_future_is_learned_from(
    tasks: int,
    hours: int,
    ahead: pd.Timedelta | None,
    share: float,
    validation_share: float,
    seed: int,
) -> None:
    splits = split_tasks(timed_rows(tasks, hours, seed), share, seed, ahead).assign(target="x")
    time = splits.set_index("row")["time"]
    known = time + (ahead or pd.Timedelta(0))  # when a row's target is known
    test = splits.loc[splits["split"] == "test", "row"]
    gap = splits.loc[splits["split"] == "gap", "row"]
    assert abs(len(test) - share * len(splits)) <= tasks
    for d in draws_of(draw_tasks(splits, [3, 8, None], 2, validation_share, ahead)):
        # Over all tasks together: one city's future is not another's past either.
        assert known[d.train].max() < time[d.validation].min()
        assert known[d.validation].max() < time[test].min()
        assert not set(gap) & {*d.train, *d.validation}
        assert set(splits.set_index("row").loc[d.train, "task"]) == set(splits["task"])
    # No more is given up than the gap takes.
    assert (known[gap] >= time[test].min()).all()
    assert ahead is not None or gap.empty


def test_a_cut_by_hand() -> None:
    times = pd.Series(pd.date_range("2020-01-01", periods=10, freq="h", tz="UTC"))
    before, after = cut(times, 0.3, 2 * HOUR)
    assert np.flatnonzero(after).tolist() == [7, 8, 9]
    assert np.flatnonzero(before).tolist() == [0, 1, 2, 3, 4]  # 5 + 2 h is the first test row
    before, after = cut(times, 0.3, None)
    assert np.flatnonzero(before).tolist() == list(range(7))
    same = pd.Series([times[0]] * 3)
    assert not cut(same, 0.3, None)[0].any()
    assert cut(same, 0.3, None)[1].all()


def test_classes_are_mixed_evenly_from_the_first_row_on() -> None:
    rows = rows_of([100, 100]).assign(**{"class": [int(i % 10 == 0) for i in range(200)]})
    splits = split_tasks(rows, 0.25, 0, NO_TIME).assign(target="x")
    kind = splits.set_index("row")["class"]
    for d in draws_of(draw_tasks(splits, [10, 20], 3, 0.2, NO_TIME)):
        task = splits.set_index("row").loc[d.train, "task"]
        for _, rows_of_task in task.groupby(task):
            share = (kind == 1)[splits.set_index("row")["task"] == rows_of_task.iloc[0]].mean()
            assert abs(kind[rows_of_task.index].sum() - share * d.shots) <= 1


def test_other_seeds_draw_other_rows_and_the_same_seed_the_same() -> None:
    splits = split_tasks(timed_rows(2, 200, 0), 0.25, 0, HOUR).assign(target="x")
    table = draw_tasks(splits, [5, None], 2, 0.2, HOUR)
    assert table.equals(draw_tasks(splits, [5, None], 2, 0.2, HOUR))
    first, second, *everything = draws_of(table)
    assert set(first.train) != set(second.train)
    assert np.array_equal(everything[0].train, everything[1].train)  # both periods whole


def test_a_task_with_fewer_gives_all_it_has_and_none_with_as_many_is_refused() -> None:
    splits = split_tasks(rows_of([40, 8]), 0.25, 0, NO_TIME).assign(target="parts")
    said = drawn_rows(draw_tasks(splits, [10], 2, 0.2, NO_TIME))
    assert said.to_numpy().tolist() == [[10, "t0", 10, 6], [10, "t1", 5, 1]]
    with pytest.raises(HeadstartError, match=r"parts: 25 shots .* no task has more than 24 rows"):
        draw_tasks(splits, [10, 25], 2, 0.2, NO_TIME)
