"""What a method of meta-learning is: a loss of episodes, and how it meets a new task.

Meta-training minimizes the mean over tasks of `task_losses`, whatever the method; at meta-test
`adapt` is handed a support set and queries, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.episodes import Episodes, Family
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import Reading, TaskNetwork, Weights
from headstart.learning.training import TrainingData


class TaskLosses(NamedTuple):
    """Of T tasks.

    Attributes:
        losses: what is minimized, shape (T,).
        scores: of the queries, shape (T,), no gradient.
        moments: of batch norm after 0, 1, ... inner steps, shape (inner steps + 1, ...).
    """

    losses: torch.Tensor
    scores: torch.Tensor
    moments: torch.Tensor


class MetaLoss(NamedTuple):
    """Means over the tasks of a meta-batch; see `TaskLosses`."""

    loss: torch.Tensor
    score: torch.Tensor
    moments: torch.Tensor


@dataclass(frozen=True)
class Adapted:
    """T tasks after they were learned.

    Attributes:
        outputs: of the queries after 0, 1, ... steps, shape (steps + 1, T, m, outputs).
        weights: what was adapted, after the last step, shape (T, ...) each.
    """

    outputs: torch.Tensor
    weights: Weights


class Method(nn.Module, ABC):
    """One method.

    Args:
        network: its initialization is what is learned.
        problem: what the tasks ask for.
        tasks_at_once: tasks of a meta-batch that are computed together. Many at once suit small
            networks, one after the other suits convolutions of 64 filters and more.

    Attributes:
        meta_trained: whether there is anything to be meta-trained.
        compiles: whether `compute.compile` makes anything of its training.
    """

    meta_trained: ClassVar[bool] = True
    compiles: ClassVar[bool] = False

    def __init__(self, network: TaskNetwork, problem: Problem, tasks_at_once: int):
        super().__init__()
        self.network = network
        self.problem = problem
        self.tasks_at_once = tasks_at_once

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What batch norm can normalize queries by; running statistics come of meta-training."""
        known = self.network.readings
        return known if self.meta_trained else tuple(r for r in known if r != "running")

    def forward(self, episodes: Episodes) -> MetaLoss:
        """The loss of a meta-batch: the mean of its tasks' losses."""
        tasks, most = len(episodes.support_x), self.tasks_at_once
        if tasks <= most:
            whole = self.task_losses(episodes)
            return MetaLoss(whole.losses.mean(), whole.scores.mean(), whole.moments)
        parts = [
            self.task_losses(Episodes(*(t[first : first + most] for t in episodes)))
            for first in range(0, tasks, most)
        ]
        losses = torch.cat([part.losses for part in parts])
        scores = torch.cat([part.scores for part in parts])
        shares = [len(part.losses) / tasks for part in parts]
        pairs = zip(shares, parts, strict=True)
        moments = torch.stack([share * part.moments for share, part in pairs]).sum(0)
        return MetaLoss(losses.mean(), scores.mean(), moments)

    @abstractmethod
    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """The losses of T tasks, a differentiable function of the method's parameters."""

    @abstractmethod
    def adapt(
        self,
        support_x: torch.Tensor,
        support_y: torch.Tensor,
        query_x: torch.Tensor,
        *,
        steps: int,
        reading: Reading,
    ) -> Adapted:
        """Learn T new tasks. The method itself stays as it is.

        Args:
            support_x: what is learned from, shape (T, n, ...).
            support_y: its classes (T, n), or numbers (T, n, D).
            query_x: shape (T, m, ...).
            steps: of gradient descent, at most; a method without steps takes none.
            reading: what batch norm normalizes the queries by.
        """

    @abstractmethod
    def predict(self, adapted: Weights, x: torch.Tensor, steps: int) -> torch.Tensor:
        """Outputs of T learned tasks for new inputs, batch norm reading its running statistics.

        Args:
            adapted: `Adapted.weights`, shape (T, ...) each.
            x: shape (T, m, ...).
            steps: of gradient descent that were taken.
        """

    def training_data(
        self, family: Family, training: TrainingParameters, seed: int
    ) -> TrainingData:
        """What is meta-trained on: an example is a task, and no task comes twice.

        Args:
            family: of the meta-training tasks.
            training: says how many there are, steps times batch_size.
            seed: of the episodes.
        """
        return TrainingData(
            size=training.steps * training.batch_size,
            load=lambda indices, _: family.episodes(seed, indices),
            shuffle=False,
        )


def class_means(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean of each class: features (T, n, D), classes (T, n) -> (T, N, D).

    N is taken from the labels: episodes hold every class.
    """
    ways = int(labels.max()) + 1
    member = torch.nn.functional.one_hot(labels, ways).to(features.dtype)
    return member.mT @ features / member.sum(1)[:, :, None]
