"""A fitted model of several tasks: preparation and networks, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.learning.multi_task.preparation import Preparation


@dataclass(frozen=True)
class TaskModel:
    """Everything that a prediction needs.

    Attributes:
        method: what it was fitted by.
        task_names: T.
        feature_names: D, in the order of the features.
        classes: K labels; none: regression.
        preparation: of the training rows.
        told_the_task: the networks have one more input for each task.
        weights: of each layer, shape (T, out, in); of a layer that is shared (1, out, in).
        biases: of each layer, shape (T, out) or (1, out).
    """

    method: str
    task_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    preparation: Preparation
    told_the_task: bool
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]

    @property
    def needs_the_task(self) -> bool:
        """Whether what it says depends on which task a row is of."""
        return self.told_the_task or any(len(weight) > 1 for weight in self.weights)

    def predict(self, features: np.ndarray, task: np.ndarray) -> np.ndarray:
        """What the network of each row's task says.

        Args:
            features: shape (n, D), NaN where a value is missing.
            task: in [0, T), shape (n,).

        Returns:
            float64: class probabilities, shape (n, K); or numbers in the target's unit, (n,).
        """
        x = self.preparation.features(features)
        if self.told_the_task:
            x = np.hstack([x, np.eye(len(self.task_names), dtype=x.dtype)[task]])
        outputs = np.empty((len(x), self.weights[-1].shape[1]), dtype=x.dtype)
        for t in np.unique(task):
            rows = task == t
            outputs[rows] = self._network(int(t), x[rows])
        if not self.classes:
            return self.preparation.in_units(outputs[:, 0])
        exponents = np.exp((outputs - outputs.max(axis=1, keepdims=True)).astype(np.float64))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def _network(self, task: int, x: np.ndarray) -> np.ndarray:
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            own = task if len(weight) > 1 else 0
            x = (np.maximum(x, 0) if i else x) @ weight[own].T + bias[own]
        return x
