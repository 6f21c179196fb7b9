"""Almost no inner loop (Raghu et al. 2020): MAML in which inner steps change the last layer alone.

    phi* = argmin_phi  1/T sum_t L_t^query(b, h_t),
    h_t = h - alpha grad_h L_t^support(b, h),    or n such steps;   phi = (b, h)

b is the body, h the last layer. The body's representations are computed once a task, so a task
costs little more than one forward and one backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.gradient_adaptation import descend
from headstart.learning.meta_learning.inner_loop import InnerLoss
from headstart.learning.meta_learning.maml import Maml, query_losses
from headstart.learning.meta_learning.method import Adapted, TaskLosses
from headstart.learning.meta_learning.task_network import (
    Normalization,
    Reading,
    Weights,
    read_queries,
)


class Anil(Maml):
    """See the equation above; parameters are those of MAML."""

    def adapted_weights(self) -> Mapping[str, torch.Tensor]:
        """The last layer."""
        return {n: w for n, w in self.network.weights.items() if n.startswith("head")}

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """See `headstart.learning.meta_learning.maml.query_losses`; phi is h, inputs are b(x)."""
        body, head = self._parts(len(episodes.support_x))
        support, support_moments = self.network.features(body, episodes.support_x, Normalization())
        query, moments = self.network.features(body, episodes.query_x, Normalization(self.steps))
        return query_losses(
            self._head_loss(support, episodes.support_y, support_moments),
            lambda weights, z, _: (self.network.head(weights, z), moments),
            self.problem,
            head,
            query,
            episodes.query_y,
            self.step_sizes(),
            self.steps,
            self.order,
        )

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
        body, head = self._parts(len(support_x))
        with torch.no_grad():
            support, moments = self.network.features(body, support_x, Normalization())
            query = read_queries(
                self.network.features, body, support_x, query_x, self.steps, reading
            )
        return descend(
            self._head_loss(support, support_y, moments),
            lambda weights, _: self.network.head(weights, query),
            head,
            self.step_sizes(),
            steps,
        )

    def predict(self, adapted: Weights, x: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Method.predict`."""
        body, _ = self._parts(len(x))
        return super().predict(body | adapted, x, self.steps)

    def _parts(self, tasks: int) -> tuple[Weights, Weights]:
        """Body and last layer, shape (T, ...)."""
        weights = self.network.stacked(tasks)
        head = {name: weights.pop(name) for name in self.adapted_weights()}
        return weights, head

    def _head_loss(
        self, features: torch.Tensor, y: torch.Tensor, moments: torch.Tensor
    ) -> InnerLoss:
        """The loss as a function of the last layer; batch norm sees the same at each step."""

        def loss(weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
            return self.problem.loss(self.network.head(weights, features), y), moments

        return loss
