import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    roc_auc_score,
    root_mean_squared_error,
)

from headstart.learning import metrics


def random_problem(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), size=n)
    return probabilities, rng.integers(0, classes, size=n)


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 7))
def test_scores_equal_scikit_learns(seed, n, classes):
    p, y = random_problem(seed, n, classes)
    predicted = p.argmax(1)
    assert metrics.accuracy(p, y) == pytest.approx(accuracy_score(y, predicted))
    assert metrics.macro_f1(p, y) == pytest.approx(f1_score(y, predicted, average="macro"))
    assert metrics.nll(p, y) == pytest.approx(log_loss(y, p, labels=range(classes)))


def test_calibration_error_by_hand():
    # Two bins of ten: (0.6, 0.7] holds 0.7, 0.7 (one right); (0.9, 1.0] holds 1.0 (right).
    p = np.array([[0.7, 0.3], [0.3, 0.7], [1.0, 0.0]])
    y = np.array([0, 0, 0])
    expected = 2 / 3 * abs(0.5 - 0.7) + 1 / 3 * abs(1.0 - 1.0)
    assert metrics.ece(p, y, bins=10) == pytest.approx(expected)


def test_calibration_error_of_calibrated_probabilities_vanishes():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=100_000)
    p = np.stack([confidence, 1 - confidence], axis=1)
    y = (rng.uniform(size=len(p)) > confidence).astype(int)
    assert metrics.ece(p, y) < 0.01
    overconfident = np.stack([confidence**0.2, 1 - confidence**0.2], axis=1)
    assert metrics.ece(overconfident, y) > 0.15


def test_a_certain_and_wrong_prediction_has_a_finite_nll():
    assert np.isfinite(metrics.nll(np.array([[1.0, 0.0]]), np.array([1])))


def test_every_metric_says_which_way_is_better():
    others = {"auc", "mse", "accuracy_transductive"}
    assert {*metrics.CLASSIFICATION, *metrics.REGRESSION, *others} == set(metrics.HIGHER_IS_BETTER)


@given(st.integers(0, 10_000), st.integers(4, 60))
def test_auc_and_errors_of_numbers_equal_scikit_learns(seed, n):
    p, y = random_problem(seed, n, 2)
    y[:2] = 0, 1
    p = p.round(1)  # ties
    assert metrics.auc(p, y) == pytest.approx(roc_auc_score(y, p[:, 1]))
    predicted, true = np.random.default_rng(seed).normal(size=(2, n))
    assert metrics.rmse(predicted, true) == pytest.approx(root_mean_squared_error(true, predicted))
    assert metrics.mae(predicted, true) == pytest.approx(mean_absolute_error(true, predicted))
