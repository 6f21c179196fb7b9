"""One step of gradient descent for each of T tasks at once, which can be differentiated itself.

    theta_{i+1} = theta_i - alpha o grad L(theta_i)

L is the loss on a task's support set, alpha a step size, one for all or one for each weight. The
sum of the losses of T tasks, each of which depends on its own slice of the weights alone, has the
gradients of all tasks as its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

from headstart.learning.meta_learning.task_network import Weights

InnerLoss = Callable[[Weights], tuple[torch.Tensor, torch.Tensor]]
"""From weights (T, ...) to the losses of the tasks, (T,), and moments of batch norm."""

Order = Literal["first", "second"]
"""Whether the outer gradient goes through the inner one ("second"), or takes it for a constant."""


def gradient_step(
    loss: InnerLoss,
    weights: Weights,
    step_sizes: float | Mapping[str, torch.Tensor],
    order: Order,
) -> tuple[Weights, torch.Tensor, torch.Tensor]:
    """One step.

    Args:
        loss: of the support sets.
        weights: what is adapted, shape (T, ...) each.
        step_sizes: alpha; or for each weight a tensor that can be broadcast to it.
        order: see `Order`.

    Returns:
        The new weights; the losses before the step, (T,); the moments of batch norm.
    """
    gradients, losses, moments = _gradient(loss, weights, order)
    stepped = {}
    for name, weight in weights.items():
        if isinstance(step_sizes, Mapping):
            size = step_sizes[name]
            stepped[name] = torch.addcmul(weight, size, gradients[name], value=-1)
        else:
            # An addition, because the derivative of a subtraction is one operation more.
            stepped[name] = torch.add(weight, gradients[name], alpha=-step_sizes)
    return stepped, losses, moments


def _gradient(
    loss: InnerLoss, weights: Weights, order: Order
) -> tuple[Weights, torch.Tensor, torch.Tensor]:
    if torch.compiler.is_compiling():
        return _traced_gradient(loss, weights, order)
    # Called directly, autograd costs a small network a quarter less than torch.func does.
    second = order == "second"
    with torch.enable_grad():
        if not second:
            weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
        losses, moments = loss(weights)
        gradients = torch.autograd.grad(losses.sum(), list(weights.values()), create_graph=second)
    return dict(zip(weights, gradients, strict=True)), losses.detach(), moments


def _traced_gradient(
    loss: InnerLoss, weights: Weights, order: Order
) -> tuple[Weights, torch.Tensor, torch.Tensor]:
    """The same for the compiler, which can follow torch.func alone."""

    def total(weights: Weights) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        losses, moments = loss(weights)
        return losses.sum(), (losses.detach(), moments)

    gradients, (losses, moments) = torch.func.grad(total, has_aux=True)(weights)
    if order == "first":
        gradients = {name: g.detach() for name, g in gradients.items()}
    return gradients, losses, moments
