"""Weighted nearest neighbors on frozen features (Wu et al. 2018, section 3.4).

    v_c(x) = sum over the k training rows i most similar to x of [y_i = c] exp(s_i / tau) / Z
    s_i = cos(x, x_i),   Z such that the v_c sum to one
    p(c | x) = (k v_c + alpha / K) / (k + alpha)

tau is the temperature: the smaller, the more the nearest count; infinite, a majority vote. alpha
pseudo-neighbors, spread evenly over the K classes (Laplace's smoothing), keep the probability of
a class that no neighbor has above zero. k is chosen on the validation rows. Nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.learning import metrics
from headstart.learning.encoders import Features
from headstart.learning.fits import Fit
from headstart.learning.peak_memory import PeakMemory

_ROWS = 1024  # queries compared at a time, which bounds the memory


def fit_nearest_neighbors(
    features: Features,
    labels: np.ndarray,
    *,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    classes: int,
    neighbors: Sequence[int],
    temperature: float,
    smoothing: float,
    identity: dict[str, Any],
) -> tuple[Fit, dict[str, np.ndarray]]:
    """Remember the training rows; choose the number of neighbors on the validation rows.

    With one number of neighbors nothing is chosen, and `validation` may be empty: so a recommended
    model is refitted on training and validation rows together.

    Args:
        features: the representation, (N, D).
        labels: class of each row, integers, shape (N,); only those of the rows below are read.
        train: rows to remember, shape (n,).
        validation: rows that k is chosen on, by the smallest mean negative log-likelihood; among
            equals the smallest k.
        test: rows to predict.
        classes: number of classes K.
        neighbors: values of k to choose among; one above n counts as n.
        temperature: tau, above zero.
        smoothing: alpha, above zero.
        identity: the columns of `headstart.learning.fits.IDENTITY`.

    Returns:
        The fit, and the head: "features" (n, D) float32 of unit length, "labels" (n,), and "k",
        "temperature", "smoothing" as arrays without a dimension.

    Raises:
        ValueError: there is a choice, and no validation row to make it on.
    """
    ks = sorted({min(k, len(train)) for k in neighbors})
    if len(ks) > 1 and len(validation) == 0:
        raise ValueError("A choice among numbers of neighbors needs validation rows.")
    with PeakMemory() as memory, threadpool_limits(1, user_api="blas"):
        started = perf_counter()
        memorized = {
            "features": unit_length(features.values[train]),
            "labels": labels[train].astype(np.int64),
            "temperature": np.array(float(temperature)),
            "smoothing": np.array(float(smoothing)),
        }
        heads = [memorized | {"k": np.array(k)} for k in ks]
        on_validation = [predict(head, features.values[validation], classes) for head in heads]
        best = 0
        if len(heads) > 1:
            best = int(np.argmin([metrics.nll(p, labels[validation]) for p in on_validation]))
        predicted = predict(heads[best], features.values[test], classes)
    fit = Fit(
        identity=identity,
        validation=on_validation[best],
        test=predicted,
        n_train=len(train),
        trainable_parameters=0,
        total_parameters=features.encoder_parameters + heads[best]["features"].size,
        train_seconds=perf_counter() - started,
        peak_memory_bytes=memory.bytes,
        chosen={"k": ks[best]},
    )
    return fit, heads[best]


def predict(head: dict[str, np.ndarray], features: np.ndarray, classes: int) -> np.ndarray:
    """Class probabilities of new rows.

    Args:
        head: as `fit_nearest_neighbors` returns it.
        features: shape (n, D).
        classes: number of classes K.

    Returns:
        float64, shape (n, K).
    """
    k, temperature = int(head["k"]), float(head["temperature"])
    smoothing = float(head["smoothing"])
    one_hot = np.eye(classes)[head["labels"]]
    probabilities = np.empty((len(features), classes))
    for start in range(0, len(features), _ROWS):
        part = slice(start, start + _ROWS)
        similarity = unit_length(features[part]) @ head["features"].T
        # Stable: among rows that are equally similar the first one counts, on every machine.
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        s = np.take_along_axis(similarity, nearest, axis=1).astype(np.float64)
        weight = np.exp((s - s.max(axis=1, keepdims=True)) / temperature)
        votes = np.einsum("nk,nkc->nc", weight, one_hot[nearest])
        votes /= weight.sum(axis=1, keepdims=True)
        probabilities[part] = (k * votes + smoothing / classes) / (k + smoothing)
    return probabilities


def unit_length(features: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean length, float32; a row of zeros stays one."""
    x = features.astype(np.float32)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1), dtype=np.float32)
