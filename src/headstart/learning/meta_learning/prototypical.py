"""Prototypical networks (Snell, Swersky and Zemel 2017): the nearest class mean in a learned space.

    c_k = 1/|S_k| sum_{i in S_k} f_phi(x_i),    p(y = k | x) = softmax_k( -||f_phi(x) - c_k||^2 )

S_k are the support examples of class k. Nothing is adapted at meta-test: a new task is its means.
"""

from __future__ import annotations

import torch

from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.method import Adapted, Method, TaskLosses, class_means
from headstart.learning.meta_learning.parameters import PrototypicalParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import (
    Normalization,
    Reading,
    TaskNetwork,
    Weights,
    joint_features,
)


def prototype_logits(queries: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """-||f - c_k||^2: queries (T, m, D), class means (T, N, D) -> (T, m, N)."""
    cross = queries @ prototypes.mT
    squares = prototypes.square().sum(2)[:, None] + queries.square().sum(2)[:, :, None]
    return 2 * cross - squares


class Prototypical(Method):
    """See the equation above.

    Args:
        network: f; its last layer is not used.
        problem: classification.
        parameters: of the method.
    """

    def __init__(self, network: TaskNetwork, problem: Problem, parameters: PrototypicalParameters):
        super().__init__(network, problem, parameters.tasks_at_once)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """What distances are measured between."""
        return features

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """Cross-entropy of the queries."""
        support, query, moments = joint_features(
            self.network,
            self.network.stacked(len(episodes.support_x)),
            episodes.support_x,
            episodes.query_x,
            "query",
        )
        means = class_means(self.embed(support), episodes.support_y)
        logits = prototype_logits(self.embed(query), means)
        return TaskLosses(
            self.problem.loss(logits, episodes.query_y),
            self.problem.score(logits.detach(), episodes.query_y),
            moments[None],
        )

    @torch.no_grad()
    def adapt(
        self,
        support_x: torch.Tensor,
        support_y: torch.Tensor,
        query_x: torch.Tensor,
        *,
        steps: int,
        reading: Reading,
    ) -> Adapted:
        """See `Method.adapt`; there are no steps."""
        weights = self.network.stacked(len(support_x))
        support, query, _ = joint_features(self.network, weights, support_x, query_x, reading)
        means = class_means(self.embed(support), support_y)
        return Adapted(prototype_logits(self.embed(query), means)[None], {"prototypes": means})

    def predict(self, adapted: Weights, x: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Method.predict`."""
        weights = self.network.stacked(len(x))
        features, _ = self.network.features(weights, x, Normalization(running=True))
        return prototype_logits(self.embed(features), adapted["prototypes"])
