"""Linear probe: multinomial logistic regression on frozen features.

    J(W, b) = 1/n sum_i -log p(y_i | x_i) + lambda/2 ||W||^2
    p(. | x) = softmax(W (x - mu) / sigma + b)

mu is the mean of the n training rows and sigma one number, the root mean square of all entries of
the centered rows; b is not penalized. (One sigma a feature would blow up the features that hardly
vary among a few rows by accident: with one example a class it costs an ImageNet network a tenth
of its accuracy and more.) lambda, the strength, is chosen on the validation rows.

The minimum is sought where it lies, in the span of the training rows (representer theorem;
Schölkopf et al. 2001), along the rows' principal axes, by L-BFGS (Liu and Nocedal 1989) scaled by
the diagonal of the Hessian, from the strongest penalty to the weakest, each from where the ones
before it point to. Probabilities are within about 1e-5 of the exact minimum, so that a probe
measures the representation and not the patience of an optimizer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from headstart.learning import metrics
from headstart.learning.encoders import Features
from headstart.learning.fits import Fit
from headstart.learning.peak_memory import PeakMemory

logger = logging.getLogger(__name__)

_GRADIENT = 1e-6  # largest entry of the gradient, in units in which the Hessian is about one
_EVALUATIONS = 10_000
_RISES = 2  # so many weaker penalties in a row that are worse than the best end the search


def fit_linear_probe(
    features: Features,
    labels: np.ndarray,
    *,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    classes: int,
    strengths: Sequence[float],
    identity: dict[str, Any],
) -> tuple[Fit, dict[str, np.ndarray]]:
    """Fit a linear probe, its strength chosen on the validation rows.

    With one strength nothing is chosen, and `validation` may be empty: so a recommended probe is
    refitted on training and validation rows together.

    Args:
        features: the representation, (N, D).
        labels: class of each row, integers, shape (N,); only those of the rows below are read.
        train: rows to learn from, shape (n,).
        validation: rows that the strength is chosen on, by the smallest mean negative
            log-likelihood; among equals the strongest. Weaker penalties are not tried any more
            once two in a row were worse than the best.
        test: rows to predict.
        classes: number of classes K.
        strengths: values of lambda to choose among, all above zero.
        identity: the columns of `headstart.learning.fits.IDENTITY`.

    Returns:
        The fit, and the head on raw features: "weight" (K, D) and "bias" (K,), float64, with mu
        and sigma folded in.

    Raises:
        ValueError: there is a choice, and no validation row to make it on.
    """
    if len(set(strengths)) > 1 and len(validation) == 0:
        raise ValueError("A choice among strengths needs validation rows.")
    # One thread: these matrices are small, and the sums do not depend on the machine's cores.
    with PeakMemory() as memory, threadpool_limits(1, user_api="blas"):
        started = perf_counter()
        x = features.values[train].astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        scale = math.sqrt(np.mean(x**2)) or 1.0
        lowest, worse = math.inf, 0
        for strength, weight, bias in regularization_path(
            x / scale, labels[train], classes, strengths
        ):
            candidate = {"weight": weight / scale, "bias": bias - weight @ mean / scale}
            on_validation = predict(candidate, features.values[validation])
            loss = metrics.nll(on_validation, labels[validation]) if len(validation) else 0.0
            worse = worse + 1 if loss >= lowest else 0
            if loss < lowest:
                lowest, chosen, head, best = loss, strength, candidate, on_validation
            if worse == _RISES:
                break
        predicted = predict(head, features.values[test])
    size = head["weight"].size + head["bias"].size
    fit = Fit(
        identity=identity,
        validation=best,
        test=predicted,
        n_train=len(train),
        trainable_parameters=size,
        total_parameters=features.encoder_parameters + size,
        train_seconds=perf_counter() - started,
        peak_memory_bytes=memory.bytes,
        chosen={"strength": chosen},
    )
    return fit, head


def predict(head: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Class probabilities softmax(W x + b) of a linear head.

    Args:
        head: "weight" (K, D) and "bias" (K,).
        features: shape (n, D).

    Returns:
        float64, shape (n, K).
    """
    weight, bias = head["weight"].astype(np.float64), head["bias"].astype(np.float64)
    return np.exp(_log_softmax(features.astype(np.float64) @ weight.T + bias))


def regularization_path(
    x: np.ndarray, labels: np.ndarray, classes: int, strengths: Sequence[float]
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Minimize J for one strength after the other, the strongest first.

    Args:
        x: features as they enter J, centered, float64, shape (n, D).
        labels: classes of the rows, shape (n,).
        classes: number of classes K.
        strengths: values of lambda, all above zero.

    Yields:
        lambda, W (K, D), b (K,).
    """
    n, dimension = x.shape
    # x = coordinates @ basis.T, the columns of `basis` orthonormal, then both turned to the
    # principal axes.
    basis, coordinates = np.eye(dimension), x
    if n < dimension:
        basis, triangle = np.linalg.qr(x.T)
        coordinates = triangle.T
    axes = np.linalg.eigh(coordinates.T @ coordinates)[1]
    basis = basis @ axes
    z = np.column_stack([coordinates @ axes, np.ones(n)])  # the last column is for the bias
    squared = z**2
    penalized = np.append(np.ones(len(axes)), 0.0)
    one_hot = np.eye(classes)[labels]
    shape = (classes, z.shape[1])

    def objective(u: np.ndarray, unit: np.ndarray, penalty: np.ndarray) -> tuple[float, np.ndarray]:
        w = u.reshape(shape) * unit
        log_p = _log_softmax(z @ w.T)
        value = -np.sum(one_hot * log_p) / n + np.sum(penalty * w**2) / 2
        gradient = (np.exp(log_p) - one_hot).T @ z / n + penalty * w
        return float(value), (gradient * unit).ravel()

    w, step, before = np.zeros(shape), np.zeros(shape), math.nan
    for strength in sorted(set(strengths), reverse=True):
        # The path is smooth in log(lambda): start where its last piece points to.
        reach = math.log(strength / before) if step.any() else 0.0
        start = w + step * reach
        p = np.exp(_log_softmax(z @ start.T))
        penalty = strength * penalized
        curvature = (p * (1 - p)).T @ squared / n + penalty  # diagonal of the Hessian
        unit = 1 / np.sqrt(np.maximum(curvature, np.finfo(np.float64).eps))
        result = minimize(
            objective,
            (start / unit).ravel(),
            args=(unit, penalty),
            jac=True,
            method="L-BFGS-B",
            options={
                "gtol": _GRADIENT,
                "ftol": 0.0,
                "maxiter": _EVALUATIONS,
                "maxfun": _EVALUATIONS,
            },
        )
        if np.abs(result.jac).max() > 10 * _GRADIENT:
            logger.warning("linear_probe: strength %g ended early: %s", strength, result.message)
        new = result.x.reshape(shape) * unit
        if not math.isnan(before):
            step = (new - w) / math.log(strength / before)
        w, before = new, strength
        yield strength, w[:, :-1] @ basis.T, w[:, -1]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
