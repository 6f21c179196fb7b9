"""The pairwise penalty in training: its limits, and the closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from headstart.learning.multi_task.parameters import RegularizedParameters
from headstart.learning.multi_task.tasks import TaskData

EVERYTHING = np.arange(0)


def related(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    slopes = np.array([[1.0, 2.0, 0.0, 0.5], [1.2, 1.5, 0.3, 0.5], [-1.0, 0.5, 2.0, 0.0]])
    noise = np.random.default_rng(9).normal(size=len(x))
    return (x * slopes[task % 3]).sum(axis=1) + task % 3 + 0.3 * noise


def mean_regularized(
    features: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    strengths: np.ndarray,
    l2: float,
) -> np.ndarray:
    """Mean-regularized multi-task learning of linear models (Evgeniou and Pontil 2004), solved.

        min_{W, b} 1/T (sum_t (1/n_t sum_i (w_t x_ti + b_t - y_ti)^2 + l2 ||w_t||^2)
                        + sum_{t<u} lambda_tu (||w_t - w_u||^2 + (b_t - b_u)^2))

    With lambda_tu = strength / T for every pair that is Evgeniou and Pontil (2004). Its gradient is
    linear in theta_t = (w_t, b_t), so the minimum solves one system of T (D + 1) equations:

        (blockdiag(X_t^T X_t / n_t + l2 J) + L (x) I) theta = (X_t^T y_t / n_t)_t

    X_t with a column of ones, J the identity but for a 0 at the bias, L the Laplacian of lambda.
    """
    tasks, width = len(features), features[0].shape[1] + 1
    off = strengths * (1 - np.eye(tasks))
    system = np.kron(np.diag(off.sum(axis=1)) - off, np.eye(width))
    right = np.zeros((tasks, width))
    shrunk = l2 * np.diag(np.append(np.ones(width - 1), 0.0))
    for t, (x, y) in enumerate(zip(features, targets, strict=True)):
        own = slice(t * width, (t + 1) * width)
        x_one = np.column_stack([x, np.ones(len(x))])
        system[own, own] += x_one.T @ x_one / len(x) + shrunk
        right[t] = x_one.T @ y / len(x)
    return np.linalg.solve(system, right.ravel()).reshape(tasks, width)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 1000))
def test_the_closed_form_is_the_minimum(tasks: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(rng.integers(3, 9), width)) for _ in range(tasks)]
    targets = [rng.normal(size=len(x)) for x in features]
    strengths = rng.uniform(0, 2, size=(tasks, tasks))
    strengths = strengths + strengths.T

    def objective(flat: np.ndarray) -> float:
        theta = flat.reshape(tasks, width + 1)
        value = 0.0
        for t, (x, y) in enumerate(zip(features, targets, strict=True)):
            value += np.mean((x @ theta[t, :-1] + theta[t, -1] - y) ** 2)
            value += 0.1 * np.sum(theta[t, :-1] ** 2)
            for u in range(t + 1, tasks):
                value += strengths[t, u] * np.sum((theta[t] - theta[u]) ** 2)
        return float(value / tasks)

    found = minimize(objective, np.zeros(tasks * (width + 1)), options={"gtol": 1e-9})
    closed = mean_regularized(features, targets, strengths, 0.1)
    assert np.allclose(closed.ravel(), found.x, atol=1e-4)
    assert objective(closed.ravel()) <= found.fun + 1e-9


@pytest.mark.parametrize("strength", [0.0, 0.5, 20.0, 1e5])
def test_linear_networks_end_at_the_closed_form(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    strength: float,
) -> None:
    data = make_data(related, (20, 12, 30))
    train = np.arange(len(data.task))
    parameters = make_parameters(
        hidden=(),
        l2=(0.05,),
        training={"steps": 600, "batch_size": 64, "learning_rate": 0.05},
        regularized=RegularizedParameters(strengths=(strength,)),
    )
    chosen = {"l2": 0.05, "strength": strength, "steps": 600}
    _, model = fit("regularized", data, (train, EVERYTHING, train), parameters, chosen=chosen)
    x = model.preparation.features(data.features).astype(np.float64)
    y = model.preparation.targets(data.targets).astype(np.float64)
    own = [data.task == t for t in range(3)]
    pairs = strength / 3 * np.ones((3, 3))
    closed = mean_regularized([x[o] for o in own], [y[o] for o in own], pairs, 0.05)
    theta = np.column_stack([model.weights[0][:, 0], model.biases[0][:, 0]])
    assert np.allclose(theta, closed, atol=2e-3)
    if strength == 1e5:
        assert np.ptp(theta, axis=0).max() < 1e-3
    if strength == 0.0:
        assert np.ptp(theta, axis=0).max() > 0.5


def test_no_strength_is_separate_bit_for_bit(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    data = make_data(related, (60, 50, 40))
    rows = split(data, 20, 10)
    parameters = make_parameters(regularized=RegularizedParameters(strengths=(0.0,)))
    (alone, one), (tied, other) = (
        fit(m, data, rows, parameters) for m in ("separate", "regularized")
    )
    assert np.array_equal(alone.test, tied.test)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    assert {**alone.chosen, "strength": 0.0} == tied.chosen


def test_endless_strength_makes_the_networks_equal_and_still_trains_them(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    data = make_data(lambda x, task: np.sin(2 * x[:, 0]) + x[:, 1], (80, 80, 80))
    rows = split(data, 40, 20)
    spreads, errors = [], []
    for strength in (0.1, 10.0, 1e3, 1e6):
        parameters = make_parameters(
            regularized=RegularizedParameters(strengths=(strength,)),
            training={"steps": 150},
        )
        made, model = fit("regularized", data, rows, parameters)
        spreads.append(max(float(np.ptp(w, axis=0).max()) for w in model.weights))
        errors.append(float(np.mean((made.test - data.targets[rows[2]]) ** 2)))
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 1e-3
    pooled, _ = fit("pooled", data, rows, parameters)
    of_pooled = float(np.mean((pooled.test - data.targets[rows[2]]) ** 2))
    assert errors[-1] < 1.1 * of_pooled


def test_two_hundred_networks_train(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    data = make_data(lambda x, task: x[:, 0] + np.cos(task), (8,) * 200)
    rows = split(data, 4, 2)
    parameters = make_parameters(training={"steps": 100, "learning_rate": 0.05})
    tied, model = fit("regularized", data, rows, parameters)
    assert model.weights[0].shape[0] == 200
    error = np.mean((tied.test - data.targets[rows[2]]) ** 2)
    assert error < 0.5 * data.targets[rows[2]].var()
