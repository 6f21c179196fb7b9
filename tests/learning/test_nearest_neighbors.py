"""Nearest neighbors against a written-out loop and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from headstart.learning import metrics
from headstart.learning.encoders import Features
from headstart.learning.nearest_neighbors import fit_nearest_neighbors, predict, unit_length


def problem(n: int, dimension: int = 6, classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    x = rng.normal(size=(classes, dimension))[labels] + rng.normal(size=(n, dimension))
    return x.astype(np.float32), labels


def fit(x, labels, train, validation, test, neighbors, temperature=0.07, smoothing=1.0, classes=3):
    return fit_nearest_neighbors(
        Features("some", x, encoder_parameters=1000),
        labels,
        train=train,
        validation=validation,
        test=test,
        classes=classes,
        neighbors=neighbors,
        temperature=temperature,
        smoothing=smoothing,
        identity={"method": "nearest_neighbors"},
    )


def by_hand(x, labels, query, k, temperature, smoothing, classes):
    """The equations of the module, one number at a time."""
    similar = []
    for row, label in zip(x.tolist(), labels, strict=True):
        dot = sum(a * b for a, b in zip(row, query, strict=True))
        similar.append((dot / math.hypot(*row) / math.hypot(*query), label))
    nearest = sorted(similar, reverse=True)[:k]
    votes = [0.0] * classes
    for s, label in nearest:
        votes[label] += math.exp(s / temperature)
    total = sum(votes)
    return [(k * v / total + smoothing / classes) / (k + smoothing) for v in votes]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 12),
    temperature=st.floats(0.05, 5),
    smoothing=st.floats(0.1, 3),
)
def test_probabilities_are_those_of_the_written_out_loop(seed, k, temperature, smoothing):
    x, labels = problem(20, seed=seed)
    head = {
        "features": unit_length(x[:12]),
        "labels": labels[:12],
        "k": np.array(k),
        "temperature": np.array(temperature),
        "smoothing": np.array(smoothing),
    }
    for row, query in zip(predict(head, x[12:], 3), x[12:].tolist(), strict=True):
        expected = by_hand(x[:12], labels[:12], query, k, temperature, smoothing, 3)
        np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_a_high_temperature_is_scikit_learns_majority_vote(k):
    x, labels = problem(90)
    train, test = np.arange(60), np.arange(60, 90)
    result, _ = fit(x, labels, train, test[:0], test, [k], temperature=1e9, smoothing=1e-9)
    peer = KNeighborsClassifier(k, metric="cosine").fit(x[train], labels[train])
    np.testing.assert_allclose(result.test, peer.predict_proba(x[test]), atol=1e-6)


def test_a_class_without_neighbors_keeps_some_probability():
    x, labels = problem(30)
    result, _ = fit(x, labels, np.arange(20), np.arange(0), np.arange(20, 30), [1])
    assert result.test.min() == pytest.approx((1 / 3) / 2)
    assert math.isfinite(metrics.nll(result.test, labels[20:]))
    np.testing.assert_allclose(result.test.sum(axis=1), 1)


def test_the_number_with_the_smallest_validation_loss_is_chosen_and_the_smallest_of_equals():
    x, labels = problem(120)
    train, validation, test = np.arange(60), np.arange(60, 90), np.arange(90, 120)
    result, _ = fit(x, labels, train, validation, test, [20, 5, 1])
    losses = {}
    for k in (1, 5, 20):
        single, _ = fit(x, labels, train, validation, test, [k])
        losses[k] = metrics.nll(single.validation, labels[validation])
    assert result.chosen == {"k": min(losses, key=losses.__getitem__)}

    same = np.ones((12, 2), dtype=np.float32)  # every neighbor is as near as every other
    rows = np.arange(12)
    tied, _ = fit(same, np.zeros(12, dtype=int), rows, rows, rows, [3, 2], smoothing=1e-300)
    assert tied.chosen == {"k": 2}


def test_more_neighbors_than_rows_are_all_rows():
    x, labels = problem(12)
    result, head = fit(x, labels, np.arange(6), np.arange(6, 9), np.arange(9, 12), [50, 100])
    assert result.chosen == {"k": 6}
    assert int(head["k"]) == 6


def test_a_choice_needs_validation_rows():
    x, labels = problem(12)
    with pytest.raises(ValueError, match="validation"):
        fit(x, labels, np.arange(6), np.arange(0), np.arange(6, 12), [1, 2])


def test_rows_of_zeros_are_similar_to_nothing_and_break_nothing():
    x, labels = problem(12)
    x[0] = x[9] = 0
    result, _ = fit(x, labels, np.arange(9), np.arange(0), np.arange(9, 12), [3])
    assert np.isfinite(result.test).all()


def test_many_queries_are_compared_in_parts_alike():
    x, labels = problem(2500)
    train = np.arange(50)
    _, head = fit(x, labels, train, train[:0], train, [5])
    together = predict(head, x, 3)
    np.testing.assert_allclose(together[2000:2010], predict(head, x[2000:2010], 3), atol=1e-6)


def test_the_costs_are_counted():
    x, labels = problem(12)
    result, head = fit(x, labels, np.arange(6), np.arange(0), np.arange(6, 12), [2])
    assert result.trainable_parameters == 0
    assert result.total_parameters == 1000 + 6 * 6
    assert head["features"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(head["features"], axis=1), 1, atol=1e-6)
