"""Shared layers, with a say about how the tasks' gradients become one.

    step direction of the shared layers   d = sum_t a_t g_t          g_t = grad L_t, shape (P,)
    of the output layer of task t         1/T grad L_t

The methods differ in a, which they find from the Gramian G_tu = <g_t, g_u> alone. All g_t of all
candidates come out of one backward pass: the gradient of sum_t L_t at the unfolded copies of the
shared layers (`StackedNetworks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from headstart.learning.multi_task.shared_layers import SharedLayers
from headstart.learning.multi_task.stacked_networks import Layers


class TaskGradients(SharedLayers):
    """Shared layers that go where `weights` says."""

    divisible: ClassVar[bool] = False  # the weights depend on the whole batch

    def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """a, shape (C, T).

        Args:
            gramian: G, shape (C, T, T).
            losses: L, shape (C, T).
        """
        raise NotImplementedError

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The losses as they are; `backward` joins the gradients."""
        self._layers = layers
        return losses

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of the shared layers by the weights, of the others as they are."""
        networks = self.networks
        shared, own = networks.shared_parameters(), networks.own_parameters()
        copies = networks.shared_copies(self._layers)
        gradients = torch.autograd.grad(loss.sum(), [*copies, *own])
        of_tasks, of_own = gradients[: len(copies)], gradients[len(copies) :]
        a = self.weights(gramian(of_tasks), loss.detach())
        for parameter, gradient in zip(shared, of_tasks, strict=True):
            parameter.grad = torch.einsum("ct,ct...->c...", a, gradient)[:, None]
        for parameter, gradient in zip(own, of_own, strict=True):
            parameter.grad = gradient / loss.shape[1]


def gramian(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """Inner products of the tasks' gradients: tensors (C, T, ...) -> (C, T, T)."""
    flat = torch.cat([g.flatten(2) for g in gradients], dim=2)
    return flat @ flat.transpose(1, 2)
