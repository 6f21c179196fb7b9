"""Fits of every method: what they promise, and the rows that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from headstart.errors import HeadstartError
from headstart.learning import metrics
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import SCORE_COLUMNS, history_table
from headstart.learning.leaderboard import leaderboard
from headstart.learning.multi_task import fit as fitting
from headstart.learning.multi_task.fit import TaskFitPlan, fit_tasks, run_task_job
from headstart.learning.multi_task.registry import METHODS
from headstart.learning.multi_task.scores import task_predictions, task_scores
from headstart.learning.multi_task.tasks import TaskData, tasks_of
from headstart.learning.parallel_fits import run_fits

COMPUTE = ComputeParameters(device="cpu", progress=False, parallel_fits=2)


def numbers(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    return 100 + 5 * (x[:, 0] + np.abs(x[:, 1]) + 0.5 * task)


def labels(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    return (x[:, 0] + 0.3 * task > 0).astype(np.int64)


@pytest.fixture
def table(make_data: Callable[..., TaskData]) -> TaskData:
    return make_data(numbers, (60, 70, 45))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_numbers_and_classes(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
    method: str,
) -> None:
    for targets, classes in ((numbers, 0), (labels, 2)):
        data = make_data(targets, (60, 70, 65), classes=classes)
        rows = split(data, 30, 15)
        made, model = fit(method, data, rows, make_parameters())
        true = data.targets[rows[2]]
        if classes:
            assert np.allclose(made.test.sum(axis=1), 1)
            assert metrics.accuracy(made.test, true) > 0.8
        else:
            assert metrics.rmse(made.test, true) < 0.7 * true.std()
        predicted = model.predict(data.features[rows[2]], data.task[rows[2]])
        assert np.array_equal(predicted, made.test)
        assert made.trainable_parameters == {
            "pooled": 4 * 8 + 8 + 8 * model.biases[-1].shape[1] + model.biases[-1].shape[1],
        }.get(method, made.trainable_parameters)
        assert made.chosen["l2"] in (0.003, 0.03)
        assert made.history is not None
        shares = METHODS[method].sharing != "nothing"
        assert ("gradient_cosine.0.1" in set(made.history["name"])) == shares


@pytest.mark.parametrize("method", ["separate", "pooled_with_task", "pcgrad", "gradnorm"])
def test_the_same_seed_gives_the_same_bits_and_test_targets_decide_nothing(
    table: TaskData,
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
    method: str,
) -> None:
    rows = split(table, 20, 10)
    parameters = make_parameters(training={"steps": 12, "batch_size": 8})
    one, _ = fit(method, table, rows, parameters)
    changed = table.targets.copy()
    changed[rows[2]] = -1e9
    other, _ = fit(method, replace(table, targets=changed), rows, parameters)
    assert np.array_equal(one.test, other.test)
    assert one.chosen == other.chosen
    third, _ = fit(method, table, rows, parameters, seed=1)
    assert not np.array_equal(one.test, third.test)


def test_predictions_of_the_arrays_equal_the_networks_own(
    table: TaskData, make_parameters: Callable[..., Any], split: Callable[..., Any]
) -> None:
    train, _, _ = split(table, 20, 10)
    preparation = fitting.prepare(table, train)
    torch.manual_seed(0)
    for method in ("separate", "pooled_with_task", "layer_sharing", "regularized"):
        learner = fitting.make_learner(method, table, preparation, train, make_parameters(), 0)
        with torch.no_grad():
            for parameter in learner.networks.parameters():
                parameter.add_(torch.randn_like(parameter))
        rows = fitting.TaskRows(table, preparation, train, torch.device("cpu"))
        batch = rows.at(slice(None))
        outputs = learner.networks(learner.inputs(batch.features)).detach().numpy()
        for c in range(len(learner.candidates)):
            model = fitting.model_of(learner, c, method, table, preparation)
            for t in range(3):
                own = train[table.task[train] == t]
                expected = preparation.in_units(outputs[c, t, : len(own), 0])
                predicted = model.predict(table.features[own], table.task[own])
                # float32 sums of numbers near 100
                assert np.allclose(predicted, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("method", ["regularized", "gradnorm", "pcgrad"])
def test_a_fit_that_was_interrupted_ends_with_the_same_bits(
    table: TaskData,
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    rows = split(table, 20, 10)
    parameters = make_parameters(training={"steps": 20, "batch_size": 8})
    whole, _ = fit(method, table, rows, parameters)
    folder = CheckpointFolder(tmp_path)
    calls = 0

    class Killed(Exception):
        pass

    load = fitting.TaskRows.load

    def loading(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 14:
            raise Killed
        return load(self, *arguments)

    monkeypatch.setattr(fitting.TaskRows, "load", loading)
    compute = ComputeParameters(device="cpu", progress=False, checkpoint_seconds=0)
    names = {"train": rows[0], "validation": rows[1], "test": rows[2]}
    again: Any = {
        **names,
        **{"parameters": parameters, "compute": compute, "seed": 0, "identity": whole.identity},
        **{"checkpoint": folder, "signature": "one"},
    }
    with pytest.raises(Killed):
        fit_tasks(method, table, **again)
    resumed, _ = fit_tasks(method, table, **again)
    assert calls == 14 + 20 - 13  # only the steps that were left
    assert np.array_equal(resumed.test, whole.test)
    assert resumed.history is not None
    pd.testing.assert_frame_equal(resumed.history, whole.history)


def test_jobs_run_side_by_side_and_finished_ones_are_kept(
    table: TaskData,
    make_parameters: Callable[..., Any],
    split: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = split(table, 20, 10)
    parameters = make_parameters(training={"steps": 6, "batch_size": 8})
    plan = TaskFitPlan(table, parameters, COMPUTE, CheckpointFolder(tmp_path), ["code"])
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    jobs = [
        FitJob(
            dict(zip(names, ("tables", "toy", "features", m, 20, seed, None), strict=True)), *rows
        )
        for m in ("separate", "pooled")
        for seed in (0, 1)
    ]
    fits = list(run_fits(run_task_job, plan, jobs, compute=COMPUTE))
    assert [f.identity for f in fits] == [j.identity for j in jobs]
    monkeypatch.setattr(fitting, "fit_tasks", None)  # nothing is fitted any more
    for job, made in zip(jobs, fits, strict=True):
        kept = run_task_job(plan, job)
        assert np.array_equal(kept.test, made.test)
        assert kept.chosen == made.chosen


def test_a_refit_takes_what_was_chosen(
    table: TaskData,
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    train, validation, test = split(table, 20, 10)
    parameters = make_parameters()
    made, _ = fit("regularized", table, (train, validation, test), parameters)
    both = np.sort(np.concatenate([train, validation]))
    again, model = fit(
        "regularized", table, (both, train[:0], test), parameters, chosen=made.chosen
    )
    assert again.chosen == made.chosen
    assert again.n_train == len(both)
    assert len(again.validation) == 0
    assert np.array_equal(model.predict(table.features[test], table.task[test]), again.test)


def test_scores_are_of_each_task_and_their_mean(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    parameters = make_parameters(training={"steps": 10})
    for targets, classes in ((numbers, 0), (labels, 2)):
        data = make_data(targets, (60, 70, 45), classes=classes)
        train, validation, test = split(data, 20, 10)
        made, _ = fit("separate", data, (train, validation, test), parameters)
        scores = task_scores(made, data, train, validation, test)
        assert list(scores.columns) == SCORE_COLUMNS
        assert set(scores["target"]) == {"toy", "toy.t0", "toy.t1", "toy.t2"}
        held = scores[scores["split"] == "test"].set_index(["target", "metric"])
        own = data.task[test] == 1
        metric = "nll" if classes else "rmse"
        score = metrics.nll if classes else metrics.rmse
        row = held.loc[("toy.t1", metric)]
        assert row["value"] == pytest.approx(score(made.test[own], data.targets[test][own]))
        assert (row["n_train"], row["n_test"]) == (20, own.sum())
        for name in {"accuracy", "macro_f1", "nll", "ece", "auc"} if classes else {"rmse", "mae"}:
            of_tasks = [held.loc[(f"toy.t{t}", name), "value"] for t in range(3)]
            assert held.loc[("toy", name), "value"] == pytest.approx(np.mean(of_tasks))
        predictions = task_predictions(made, data, test)
        assert predictions["task"].tolist() == [f"t{t}" for t in data.task[test]]
        assert np.allclose(predictions["label"], data.targets[test])
        assert len(history_table(made)) > 0
        results = scores[scores["split"] == "test"]
        assert len(leaderboard(results)) == len(results)


def test_a_score_that_a_task_cannot_have_is_left_out(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    data = make_data(labels, (60, 60), classes=2)
    train, validation, test = split(data, 20, 10)
    test = test[(data.task[test] == 0) | (data.targets[test] == 1)]
    made, _ = fit("pooled", data, (train, validation, test), make_parameters(training={"steps": 5}))
    scores = task_scores(made, data, train, validation, test).query("split == 'test'")
    auc = scores[scores["metric"] == "auc"].set_index("target")["value"]
    assert set(auc.index) == {"toy", "toy.t0"}
    assert auc["toy"] == auc["toy.t0"]


def test_what_cannot_be_fitted_is_refused(
    table: TaskData,
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    train, validation, test = split(table, 20, 10)
    without = train[table.task[train] != 1]
    with pytest.raises(HeadstartError, match="'t1' has no row to learn from"):
        fit("separate", table, (without, validation, test), make_parameters())
    with pytest.raises(HeadstartError, match="'t0' has no row to choose on"):
        fit("separate", table, (train, validation[20:], test), make_parameters())
    with pytest.raises(HeadstartError, match="without a hidden layer"):
        fit("pcgrad", table, (train, validation, test), make_parameters(hidden=()))
    with pytest.raises(ValidationError, match="clip_norm must be null"):
        make_parameters(training={"clip_norm": 1.0})


def test_arrays_of_a_table_that_ingestion_made() -> None:
    table = pd.DataFrame(
        {
            **{"row": range(4), "task": ["b", "a", "b", "a"], "target": [1.0, 2.0, 3.0, 4.0]},
            **{"x": [0.0, np.nan, 1.0, 2.0]},
        }
    )
    columns = {
        **{"tasks": ["a", "b"], "features": ["x"], "classes": None},
        "positions": {"a": [1.0, 2.0], "b": [3.0, 4.0]},
    }
    data = tasks_of("toy", table, columns)
    assert data.task.tolist() == [1, 0, 1, 0]
    assert data.regression
    assert data.positions is not None
    assert data.positions.tolist() == [[1, 2], [3, 4]]
    classes = tasks_of(
        "toy",
        table.assign(target=[0, 1, 1, 0]),
        {**columns, "classes": ["n", "y"], "positions": None},
    )
    assert classes.targets.dtype == np.int64
    assert classes.outputs == 2
