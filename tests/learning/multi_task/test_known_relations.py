"""On tasks whose relations are known, each method wins where theory says it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from headstart.learning.metrics import rmse
from headstart.learning.multi_task.parameters import RegularizedParameters
from headstart.learning.statistics import Interval, paired_gain

SEEDS = 6
Targets = Callable[[np.ndarray, np.ndarray], np.ndarray]


@pytest.fixture
def errors(
    make_data: Callable[..., Any], fit: Callable[..., Any], split: Callable[..., Any]
) -> Callable[..., dict[str, dict[int, float]]]:
    """Method -> seed -> error on new rows, the mean over tasks or that of one task."""

    def measure(
        make: Callable[[np.random.Generator], Targets],
        methods: Sequence[str],
        parameters: Any,
        tasks: int,
        width: int,
        rows: int,
        of_task: int | None = None,
        seeds: int = SEEDS,
    ) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {method: {} for method in methods}
        for seed in range(seeds):
            targets = make(np.random.default_rng(100 + seed))
            data = make_data(targets, (2 * rows + 80,) * tasks, width=width, seed=seed)
            drawn = split(data, rows, rows, seed=seed)
            test = drawn[2]
            for method in methods:
                made, _ = fit(method, data, drawn, parameters, seed=seed)
                of = [
                    rmse(made.test[data.task[test] == t], data.targets[test][data.task[test] == t])
                    for t in range(tasks)
                ]
                found[method][seed] = float(np.mean(of)) if of_task is None else of[of_task]
        return found

    return measure


def saved(found: dict[str, dict[int, float]], method: str, against: str) -> Interval:
    """How much smaller the error is, over the seeds."""
    gain = paired_gain(found[against], found[method])
    assert gain is not None
    return gain


def test_shared_features_are_worth_sharing(
    errors: Callable[..., Any], make_parameters: Callable[..., Any]
) -> None:
    def make(rng: np.random.Generator) -> Targets:
        features, own = rng.normal(size=(3, 6)), rng.normal(size=(6, 3))

        def targets(x: np.ndarray, task: np.ndarray) -> np.ndarray:
            said = (np.maximum(x @ features.T, 0) * own[task]).sum(axis=1)
            return np.asarray(said + 0.2 * rng.normal(size=len(x)))

        return targets

    parameters = make_parameters(hidden=(16,), l2=(0.003,), training={"steps": 100})
    found = errors(make, ["layer_sharing", "separate", "pooled"], parameters, 6, 6, 30)
    assert saved(found, "layer_sharing", "separate").low > 0
    assert saved(found, "layer_sharing", "pooled").low > 0


def test_clusters_of_parameters_are_worth_tying_together(
    errors: Callable[..., Any], make_parameters: Callable[..., Any]
) -> None:
    def make(rng: np.random.Generator) -> Targets:
        centers = rng.normal(size=(2, 8))
        slopes = centers[[0, 0, 0, 1, 1, 1]] + 0.15 * rng.normal(size=(6, 8))
        return lambda x, task: (x * slopes[task]).sum(axis=1) + 0.5 * rng.normal(size=len(x))

    clusters = {
        f"t{t}": {f"t{u}": 1.0 for u in range(6) if u != t and u // 3 == t // 3} for t in range(6)
    }
    parameters = make_parameters(
        hidden=(),
        training={"steps": 80, "learning_rate": 0.05},
        regularized=RegularizedParameters(
            relation="matrix", matrix_of={"toy": clusters}, strengths=(0.1, 1.0, 10.0)
        ),
    )
    found = errors(make, ["regularized", "separate", "pooled"], parameters, 6, 8, 12)
    assert saved(found, "regularized", "separate").low > 0
    assert saved(found, "regularized", "pooled").low > 0


def test_opposed_tasks_are_not_to_be_pooled(
    errors: Callable[..., Any], make_parameters: Callable[..., Any]
) -> None:
    def make(rng: np.random.Generator) -> Targets:
        slopes = rng.normal(size=6)
        signs = np.array([1, -1, 1, -1])
        return lambda x, task: signs[task] * np.tanh(x @ slopes) + 0.2 * rng.normal(size=len(x))

    found = errors(make, ["separate", "pooled"], make_parameters(), 4, 6, 30)
    assert saved(found, "separate", "pooled").low > 0


def test_surgery_saves_a_minority_from_the_majority(
    errors: Callable[..., Any], make_parameters: Callable[..., Any]
) -> None:
    """Three tasks of large targets need one feature, a fourth another; there is room for few."""

    def make(rng: np.random.Generator) -> Targets:
        features = rng.normal(size=(2, 6))

        def targets(x: np.ndarray, task: np.ndarray) -> np.ndarray:
            h = np.tanh(2 * x @ features.T)
            said = np.where(task == 3, h[:, 1], 3 * h[:, 0])
            return np.asarray(said + 0.1 * rng.normal(size=len(x)))

        return targets

    methods = ["separate", "layer_sharing", "pcgrad", "cagrad", "mgda"]
    parameters = make_parameters(hidden=(4,), l2=(0.003,), training={"steps": 80})
    found = errors(make, methods, parameters, 4, 6, 60, of_task=3, seeds=10)
    assert saved(found, "separate", "layer_sharing").low > 0  # sharing harms it,
    for method in methods[2:]:  # and surgery takes some of the harm back
        assert saved(found, method, "layer_sharing").low > 0
