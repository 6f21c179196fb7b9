"""The linear probe against scikit-learn, its own gradient, and what it must not look at."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart.learning import linear_probe, metrics
from headstart.learning.encoders import Features
from headstart.learning.linear_probe import fit_linear_probe, predict, regularization_path

STRENGTHS = [10.0, 1.0, 0.1, 0.01, 0.001]


def problem(n: int, dimension: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes; features of very different means and spreads, as float32."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centers = rng.normal(size=(classes, dimension)) * 0.5
    x = centers[labels] + rng.normal(size=(n, dimension))
    x = x * rng.uniform(0.5, 3, dimension) + rng.normal(size=dimension) * 5
    return x.astype(np.float32), labels


def fit(x, labels, train, validation, test, strengths, classes=None):
    return fit_linear_probe(
        Features("some", x, encoder_parameters=1000),
        labels,
        train=train,
        validation=validation,
        test=test,
        classes=classes or int(labels.max()) + 1,
        strengths=strengths,
        identity={"method": "linear_probe"},
    )


def scaled(x: np.ndarray) -> np.ndarray:
    centered = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    return centered / np.sqrt((centered**2).mean())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("n", "dimension"), [(60, 12), (30, 100)], ids=["n > D", "n < D"])
def test_the_minimum_is_that_of_scikit_learn(n, dimension, classes):
    x, labels = problem(n, dimension, classes)
    x = scaled(x)
    for strength, weight, bias in regularization_path(x, labels, classes, STRENGTHS):
        # scikit-learn fits a single vector to two classes: w = w_1 - w_0, ||w||^2 = 2 ||W||^2.
        c = (2 if classes == 2 else 1) / (strength * n)
        peer = LogisticRegression(C=c, tol=1e-10, max_iter=20_000).fit(x, labels)
        p = predict({"weight": weight, "bias": bias}, x)
        np.testing.assert_allclose(p, peer.predict_proba(x), atol=1e-4)
        expected = np.vstack([-peer.coef_, peer.coef_]) / 2 if classes == 2 else peer.coef_
        np.testing.assert_allclose(weight, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("n", "dimension", "classes"), [(50, 8, 3), (12, 40, 4), (6, 300, 2)])
def test_the_gradient_vanishes_at_the_minimum(n, dimension, classes):
    x, labels = problem(n, dimension, classes)
    x = scaled(x)
    for strength, weight, bias in regularization_path(x, labels, classes, STRENGTHS):
        w = torch.tensor(weight, requires_grad=True)
        b = torch.tensor(bias, requires_grad=True)
        logits = torch.from_numpy(x) @ w.T + b
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        (loss + strength / 2 * (w**2).sum()).backward()
        assert w.grad.abs().max() < 1e-5
        assert b.grad.abs().max() < 1e-5


def test_the_scaling_is_folded_into_the_head_exactly():
    x, labels = problem(40, 10, 3)
    rows = np.arange(40)
    _, head = fit(x, labels, rows, rows[:0], rows, [0.1])
    ((_, weight, bias),) = regularization_path(scaled(x), labels, 3, [0.1])
    expected = predict({"weight": weight, "bias": bias}, scaled(x))
    np.testing.assert_allclose(predict(head, x), expected, atol=1e-10)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, -10.0), (0.1, 3.0), (1e5, 0.0)])
def test_the_unit_and_the_origin_of_the_features_do_not_matter(factor, shift):
    x, labels = problem(40, 10, 3)
    x = x.astype(np.float64)
    train, test = np.arange(30), np.arange(30, 40)
    expected, _ = fit(x, labels, train, test, test, STRENGTHS)
    given, _ = fit((x + shift) * factor, labels, train, test, test, STRENGTHS)
    np.testing.assert_allclose(given.test, expected.test, atol=1e-4)
    assert given.chosen == expected.chosen


def test_only_training_rows_are_learned_from():
    x, labels = problem(60, 20, 3)
    train, validation, test = np.arange(30), np.arange(30, 45), np.arange(45, 60)
    _, head = fit(x, labels, train, validation, test, [0.1])
    other, other_labels = x.copy(), labels.copy()
    other[30:] = 1e6
    other_labels[30:] = 0
    other_labels[45:] = -1  # never looked at
    _, same = fit(other, other_labels, train, validation, test, [0.1], classes=3)
    assert all(np.array_equal(head[k], same[k]) for k in head)


def test_test_rows_decide_nothing():
    x, labels = problem(60, 20, 3)
    train, validation = np.arange(20), np.arange(20, 40)
    one, _ = fit(x, labels, train, validation, np.arange(40, 50), STRENGTHS)
    two, _ = fit(x, labels, train, validation, np.arange(50, 60), STRENGTHS)
    assert one.chosen == two.chosen
    assert np.array_equal(one.validation, two.validation)


def test_the_strength_with_the_smallest_validation_loss_is_chosen():
    x, labels = problem(120, 30, 3)
    labels = np.where(np.random.default_rng(0).random(120) < 0.2, 0, labels)
    train, validation, test = np.arange(40), np.arange(40, 80), np.arange(80, 120)
    chosen, _ = fit(x, labels, train, validation, test, STRENGTHS)
    losses = {}
    for strength in STRENGTHS:
        single, _ = fit(x, labels, train, validation, test, [strength])
        losses[strength] = metrics.nll(single.validation, labels[validation])
    best = min(losses, key=losses.__getitem__)
    assert chosen.chosen == {"strength": best}
    assert min(STRENGTHS) < best < max(STRENGTHS)  # otherwise this says little


def test_among_equals_the_strongest_is_chosen():
    # A feature that says nothing: every strength gives the share of each class.
    x, labels = np.ones((20, 3), dtype=np.float32), np.array([0, 0, 0, 1] * 5)
    rows = np.arange(20)
    result, head = fit(x, labels, rows, rows, rows, [0.01, 5.0, 1.0])
    assert result.chosen == {"strength": 5.0}
    np.testing.assert_allclose(result.test, [[0.75, 0.25]] * 20, atol=1e-5)
    assert not head["weight"].any()


def test_a_constant_feature_gets_no_weight():
    x, labels = problem(40, 10, 2)
    x[:, 4] = 0.1
    rows = np.arange(40)
    _, head = fit(x, labels, rows, rows, rows, STRENGTHS)
    assert np.abs(head["weight"][:, 4]).max() < 1e-12


def test_one_strength_needs_no_validation_rows_and_a_choice_does():
    x, labels = problem(40, 10, 2)
    rows = np.arange(40)
    refit, _ = fit(x, labels, rows, rows[:0], rows[:5], [0.1])
    assert refit.validation.shape == (0, 2)
    with pytest.raises(ValueError, match="validation"):
        fit(x, labels, rows, rows[:0], rows, STRENGTHS)


def test_the_same_call_gives_the_same_bits():
    x, labels = problem(60, 100, 4)
    train, rest = np.arange(30), np.arange(30, 60)
    one, head = fit(x, labels, train, rest, rest, STRENGTHS)
    two, other = fit(x, labels, train, rest, rest, STRENGTHS)
    assert np.array_equal(one.test, two.test)
    assert all(np.array_equal(head[k], other[k]) for k in head)


def test_the_costs_are_counted():
    x, labels = problem(40, 10, 4)
    rows = np.arange(40)
    result, head = fit(x, labels, rows[:30], rows[30:], rows[30:], STRENGTHS)
    assert {k: v.shape for k, v in head.items()} == {"weight": (4, 10), "bias": (4,)}
    assert result.n_train == 30
    assert result.trainable_parameters == 44
    assert result.total_parameters == 1044
    assert result.train_seconds > 0
    np.testing.assert_allclose(result.test.sum(axis=1), 1)


def test_logits_far_apart_do_not_overflow():
    head = {"weight": np.array([[1e6], [-1e6]]), "bias": np.zeros(2)}
    assert np.array_equal(linear_probe.predict(head, np.array([[1.0]])), [[1.0, 0.0]])
