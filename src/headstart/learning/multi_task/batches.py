"""Rows of all tasks side by side, so that one batched product trains all networks.

Position i of an epoch has the i-th row of every task; of a task with fewer rows n_t than the
largest, n, the later positions are empty. With the weights

    w_ti = n / n_t   where task t has a row at position i,   0 elsewhere

the mean over all positions of w_ti loss_ti is the mean loss of task t, whichever positions a batch
draws in expectation, and an epoch shows every row of every task once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headstart.learning.multi_task.preparation import Preparation
from headstart.learning.multi_task.tasks import TaskData


@dataclass(frozen=True)
class TaskBatch:
    """Some positions.

    Attributes:
        features: shape (b, T, D).
        targets: shape (b, T), numbers or classes.
        weights: w, shape (b, T).
    """

    features: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


class TaskRows:
    """Prepared rows of a table, to be drawn by position.

    Args:
        data: the table.
        preparation: of its training rows.
        rows: to draw from; at least one of every task, in any order.
        device: where the batches are made.
        most: take at most so many of each task, evenly spaced; None: all.
    """

    def __init__(
        self,
        data: TaskData,
        preparation: Preparation,
        rows: np.ndarray,
        device: torch.device,
        most: int | None = None,
    ):
        of_task = [rows[data.task[rows] == t] for t in range(len(data.task_names))]
        if most is not None:
            of_task = [own[_evenly(len(own), min(most, len(own)))] for own in of_task]
        self.counts = np.array([len(own) for own in of_task])
        self.size = int(self.counts.max())
        places = np.zeros((self.size, len(of_task)), dtype=np.int64)
        weights = np.zeros(places.shape, dtype=np.float32)
        first = np.cumsum(self.counts) - self.counts
        for t, count in enumerate(self.counts):
            places[:count, t] = first[t] + np.arange(count)
            weights[:count, t] = self.size / count
        drawn = np.concatenate(of_task)
        self.features = torch.from_numpy(preparation.features(data.features[drawn])).to(device)
        self.targets = torch.from_numpy(preparation.targets(data.targets[drawn])).to(device)
        self.places = torch.from_numpy(places).to(device)
        self.weights = torch.from_numpy(weights).to(device)

    def load(self, positions: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The rows at some positions, as the training loop wants them.

        Args:
            positions: shape (b,).
            generator: not used, nothing here is random.
        """
        return vars(self.at(positions))

    def at(self, positions: np.ndarray | slice) -> TaskBatch:
        """The rows at some positions.

        Args:
            positions: shape (b,), or a slice.
        """
        index = positions if isinstance(positions, slice) else torch.from_numpy(positions)
        places = self.places[index]
        return TaskBatch(self.features[places], self.targets[places], self.weights[index])


def _evenly(count: int, wanted: int) -> np.ndarray:
    return np.arange(wanted) * count // wanted
