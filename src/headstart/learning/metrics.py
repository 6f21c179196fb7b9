"""Scores of class probabilities against the true classes, and of numbers against the true ones.

Functions of classes take `probabilities`, shape (n, classes), rows that sum to one, and `labels`,
shape (n,), integers in [0, classes); functions of numbers `predicted` and `true`, shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Whether a larger value is the better one. Whoever adds a metric adds it here.
HIGHER_IS_BETTER: dict[str, bool] = {
    "accuracy": True,
    "macro_f1": True,
    "nll": False,
    "ece": False,
    "auc": True,
    "rmse": False,
    "mae": False,
    "mse": False,
    "accuracy_transductive": True,  # batch norm sees all queries of a task together
}

_SMALLEST = 1e-12  # keeps the logarithm of a probability that was rounded to zero finite


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose most probable class is the true one."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN).

    Only classes that occur among the labels or the predictions count, as in scikit-learn.
    """
    predicted = probabilities.argmax(axis=1)
    classes = np.union1d(labels, predicted)
    true_positives = np.array([np.sum((predicted == c) & (labels == c)) for c in classes])
    counts = np.array([np.sum(predicted == c) + np.sum(labels == c) for c in classes])
    return float(np.mean(2 * true_positives / counts))


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    of_true_class = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.maximum(of_true_class, _SMALLEST))))


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3).

    Sum over equal-width bins of the confidence of (share of rows in the bin) x
    |accuracy in the bin - mean confidence in the bin|.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # Bins are (low, high]; a confidence of exactly zero cannot be a maximum.
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(error)


def auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve, of two classes that both occur.

    The share of pairs, a row of class 1 and one of class 0, in which the first has the larger
    probability of class 1; equal ones count half.
    """
    from scipy.stats import rankdata

    ranks = rankdata(probabilities[:, 1])
    ones = int(labels.sum())
    pairs = ones * (len(labels) - ones)
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / pairs)


def rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def mae(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(predicted - true)))


CLASSIFICATION: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "nll": nll,
    "ece": ece,
}

REGRESSION: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"rmse": rmse, "mae": mae}
