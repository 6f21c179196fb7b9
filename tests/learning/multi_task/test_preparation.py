"""Filling in and scaling, on training rows alone; batches of all tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.multi_task.batches import TaskRows
from headstart.learning.multi_task.preparation import prepare
from headstart.learning.multi_task.tasks import TaskData, check_tasks


def first(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    return x[:, 0] * 10 + 3


def test_training_rows_come_out_standardized_and_are_all_that_counts(
    make_data: Callable[..., TaskData],
) -> None:
    data = make_data(first, (30, 10))
    data.features[5, 1] = np.nan
    train = np.arange(25)
    preparation = prepare(data, train)
    x = preparation.features(data.features)
    assert x.shape == (40, 5)
    assert np.allclose(x[train, :4].mean(axis=0), 0, atol=1e-6)
    assert np.allclose(x[train, :4].std(axis=0), 1, atol=1e-5)
    assert x[:, 4].tolist() == [float(i == 5) for i in range(40)]
    assert x[5, 1] == 0
    y = preparation.targets(data.targets)
    assert np.allclose(y[train].std(), 1, atol=1e-5)
    assert np.allclose(preparation.in_units(y), data.targets, atol=1e-5)
    wild = replace(data, features=data.features.copy(), targets=data.targets.copy())
    wild.features[25:] = 1e6
    wild.targets[25:] = 1e6
    again = prepare(wild, train)
    assert np.array_equal(again.mean, preparation.mean)
    assert (again.target_mean, again.target_deviation) == (
        preparation.target_mean,
        preparation.target_deviation,
    )


def test_odd_columns_do_no_harm(make_data: Callable[..., TaskData]) -> None:
    data = make_data(first, (10, 10), width=5)
    data.features[:, 0] = 0.1  # constant, and not exactly representable
    data.features[:, 1] = np.nan  # never there
    data.features[::2, 2] = np.nan
    data.features[:, 3] = np.isnan(data.features[:, 2])  # ingestion said so already
    data.features[15:, 4] = np.nan  # missing where nothing is learned from
    preparation = prepare(data, np.arange(15))
    assert len(preparation.indicated) == 0
    x = preparation.features(data.features)
    assert np.isfinite(x).all()
    assert np.abs(x[:, :2]).max() < 1e-12


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 1000))
def test_weights_make_means_of_tasks_and_an_epoch_shows_each_row_once(
    make_data: Callable[..., TaskData], counts: list[int], seed: int
) -> None:
    data = make_data(lambda x, task: x[:, 0], tuple(counts), seed=seed)
    everything = np.random.default_rng(seed).permutation(len(data.task))
    preparation = replace(prepare(data, everything), target_mean=0.0, target_deviation=1.0)
    rows = TaskRows(data, preparation, everything, torch.device("cpu"))
    batch = rows.at(slice(None))
    for t, count in enumerate(counts):
        own = data.targets[data.task == t]
        mean = (batch.weights[:, t] * batch.targets[:, t]).mean().item()
        assert mean == pytest.approx(own.mean(), abs=1e-5)
        shown = batch.targets[batch.weights[:, t] > 0, t].numpy()
        assert np.allclose(np.sort(shown), np.sort(own), atol=1e-6)
        assert len(shown) == count
    halves = [rows.at(part) for part in np.array_split(np.arange(rows.size), 2)]
    joined = torch.cat([half.features for half in halves])
    assert torch.equal(joined, batch.features)


def test_at_most_so_many_rows_of_a_task(make_data: Callable[..., TaskData]) -> None:
    data = make_data(first, (30, 4))
    rows = TaskRows(data, prepare(data, np.arange(34)), np.arange(34), torch.device("cpu"), most=10)
    assert rows.counts.tolist() == [10, 4]
    assert rows.size == 10


def test_tasks_that_cannot_be_learned_are_refused(make_data: Callable[..., TaskData]) -> None:
    with pytest.raises(HeadstartError, match="toy: the task 't1' has one row"):
        check_tasks(make_data(first, (5, 1)))
    with pytest.raises(HeadstartError, match=r"constant in the task 't0' \(always 2\)"):
        check_tasks(make_data(lambda x, task: np.where(task == 0, 2.0, x[:, 0]), (5, 5)))
    with pytest.raises(HeadstartError, match=r"constant in the task 't1' \(always c1\)"):
        check_tasks(
            make_data(lambda x, task: np.where(task == 1, 1, np.arange(10) % 2), (5, 5), classes=2)
        )
    with pytest.raises(HeadstartError, match="'t0' is not a number"):
        check_tasks(make_data(lambda x, task: np.where(task == 0, np.nan, x[:, 0]), (5, 5)))
    check_tasks(make_data(first, (5, 2)))
