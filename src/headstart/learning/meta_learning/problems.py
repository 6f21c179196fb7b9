"""What a task asks for: numbers (squared error) or classes (cross-entropy, accuracy).

All functions work on T tasks at once and give one value a task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

PerTask = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """How well a task is solved.

    Attributes:
        name: "regression" or "classification".
        metric: name of the score.
        loss: from outputs (T, n, D) and targets to the mean loss of each task, (T,).
        score: likewise, for the tables.
    """

    name: str
    metric: str
    loss: PerTask
    score: PerTask


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error: outputs and targets (T, n, D) -> (T,)."""
    return (outputs - targets).square().mean((1, 2))


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-1/n sum_i log softmax(outputs_i)[y_i]: logits (T, n, N) and classes (T, n) -> (T,)."""
    return F.cross_entropy(outputs.mT, labels, reduction="none").mean(1)


def accuracy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Share of the examples whose class has the largest logit: (T, n, N), (T, n) -> (T,)."""
    return (outputs.argmax(2) == labels).to(outputs.dtype).mean(1)


REGRESSION = Problem("regression", "mse", squared_error, squared_error)
CLASSIFICATION = Problem("classification", "accuracy", cross_entropy, accuracy)
