"""Pretraining on the pooled classes, fine-tuning a new last layer: Baseline++ (Chen et al. 2019).

    p(y = k | x) = softmax_k( s cos(f_phi(x), w_k) )

Pretraining learns f and one w for each of the meta-training classes, by ordinary classification.
A new task keeps f frozen and learns a w for each of its own classes on the support set, by
gradient descent from the class means (imprinting, Qi et al. 2018; Chen et al. start at random). s,
the scale of the cosine, is fixed. There are no episodes in this training: an example is an image.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.episodes import ClassEpisodes, Episodes, Family
from headstart.learning.meta_learning.gradient_adaptation import descend
from headstart.learning.meta_learning.method import (
    Adapted,
    MetaLoss,
    Method,
    TaskLosses,
    class_means,
)
from headstart.learning.meta_learning.parameters import PooledPretrainingParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import (
    Normalization,
    Reading,
    TaskNetwork,
    Weights,
    joint_features,
)
from headstart.learning.training import TrainingData


def cosine_logits(features: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
    """S cos(f, w_k): features (T, n, D), weights (T, N, D) -> (T, n, N)."""
    return scale * F.normalize(features, dim=2) @ F.normalize(weight, dim=2).mT


class PooledPretraining(Method):
    """See the equation above.

    Args:
        network: f; its last layer is not used.
        problem: classification.
        parameters: of the method.
        dimension: D, of the representation.
        classes: numbers of the meta-training classes.
    """

    def __init__(
        self,
        network: TaskNetwork,
        problem: Problem,
        parameters: PooledPretrainingParameters,
        dimension: int,
        classes: np.ndarray,
    ):
        super().__init__(network, problem, tasks_at_once=1)
        self.classes = np.sort(classes)
        self.scale, self.step_size = parameters.scale, parameters.step_size
        self.head = nn.Parameter(nn.init.xavier_uniform_(torch.empty(len(classes), dimension)))

    def forward(self, episodes: Episodes | tuple[torch.Tensor, torch.Tensor]) -> MetaLoss:
        """Cross-entropy over a batch: images (n, C, H, W) and places of their classes (n,)."""
        x, y = cast(tuple[torch.Tensor, torch.Tensor], episodes)
        features, moments = self.network.features(self.network.stacked(1), x[None], Normalization())
        logits = cosine_logits(features, self.head[None], self.scale)
        return MetaLoss(
            self.problem.loss(logits, y[None]).mean(),
            self.problem.score(logits.detach(), y[None]).mean(),
            moments[None],
        )

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """There are no episodes in this training."""
        raise NotImplementedError("pooled_pretraining learns from images, not from episodes")

    def adapt(
        self,
        support_x: torch.Tensor,
        support_y: torch.Tensor,
        query_x: torch.Tensor,
        *,
        steps: int,
        reading: Reading,
    ) -> Adapted:
        """See `Method.adapt`."""
        weights = self.network.stacked(len(support_x))
        with torch.no_grad():
            support, query, _ = joint_features(self.network, weights, support_x, query_x, reading)
            means = class_means(F.normalize(support, dim=2), support_y)

        def loss(head: Weights) -> tuple[torch.Tensor, torch.Tensor]:
            logits = cosine_logits(support, head["head"], self.scale)
            return self.problem.loss(logits, support_y), support.new_zeros(0)

        return descend(
            loss,
            lambda head, _: cosine_logits(query, head["head"], self.scale),
            {"head": means},
            self.step_size,
            steps,
        )

    def predict(self, adapted: Weights, x: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Method.predict`."""
        weights = self.network.stacked(len(x))
        features, _ = self.network.features(weights, x, Normalization(running=True))
        return cosine_logits(features, adapted["head"], self.scale)

    def training_data(
        self, family: Family, training: TrainingParameters, seed: int
    ) -> TrainingData:
        """All examples of the meta-training classes, in a new order each epoch.

        Args:
            family: of episodes of classes.
            training: says nothing here.
            seed: says nothing here.
        """
        pool = cast(ClassEpisodes, family).pool
        rows = np.flatnonzero(np.isin(pool.labels, self.classes))

        def load(indices: np.ndarray, _: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            picked = rows[indices]
            places = np.searchsorted(self.classes, pool.labels[picked])
            return pool.load(picked), torch.from_numpy(places)

        return TrainingData(size=len(rows), load=load)
