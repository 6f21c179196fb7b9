"""Meta-training: the project's one training loop, where an example is a task.

    phi <- AdamW(phi, grad 1/T sum_t L_t(phi))

With `compute.compile` the gradient-based methods are compiled whole, loss and outer gradient in one
graph: a compiled loss could not be differentiated twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.meta_learning.method import MetaLoss, Method
from headstart.learning.sharding import is_sharded
from headstart.learning.training import Objective, TrainingData, TrainingResult, train

Values = tuple[torch.Tensor, dict[str, torch.Tensor]]


def meta_train(
    method: Method,
    data: TrainingData,
    *,
    training: TrainingParameters,
    compute: ComputeParameters,
    seed: int,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
    description: str = "meta-training",
) -> TrainingResult:
    """Meta-train a method in place.

    Args:
        method: what is trained.
        data: of `Method.training_data`.
        training: of the outer loop.
        compute: device, precision, whether to compile.
        seed: of the order of images, where a method learns from images.
        evaluate: from the method to scores of meta-validation; its "validation_loss" decides
            which weights are kept.
        checkpoint: where to save the training under way, and to go on from.
        signature: of everything that the training is made of.
        description: stands before the progress bar, and in messages.

    Raises:
        HeadstartError: `compute.sharding` is "full"; as `headstart.learning.training.train`.
    """
    if is_sharded(compute):
        raise HeadstartError(
            f"{description}: compute.sharding: full does not go with meta-learning, which makes "
            "gradients of gradients; take none."
        )
    compiled = compute.compile and method.compiles
    return train(
        method,
        compiled_objective(method) if compiled else meta_objective,
        data,
        parameters=training,
        compute=compute.model_copy(update={"compile": False}),
        seed=seed,
        evaluate=evaluate,
        checkpoint=checkpoint,
        signature=signature,
        description=description,
    )


def meta_objective(model: nn.Module, batch: Any) -> Values:
    """The loss of a method on a batch, and its score; running statistics move on."""
    result: MetaLoss = model(batch)
    model.network.remember(result.moments)  # type: ignore[operator, union-attr]
    return result.loss, {"train_score": result.score}


def compiled_objective(method: Method) -> Objective:
    """The same, compiled: the gradient is there with the loss.

    Args:
        method: one that `compiles`.
    """

    def meta_loss(parameters: dict[str, torch.Tensor], batch: Any) -> tuple[torch.Tensor, Any]:
        result = torch.func.functional_call(method, parameters, (batch,))
        return result.loss, (result.score, result.moments)

    whole = torch.compile(torch.func.grad_and_value(meta_loss, has_aux=True))

    def objective(model: nn.Module, batch: Any) -> Values:
        parameters = dict(model.named_parameters())
        values = {name: p.detach() for name, p in parameters.items()}
        gradients, (loss, (score, moments)) = whole(values, batch)
        model.network.remember(moments)  # type: ignore[operator, union-attr]
        known = _KnownGradient.apply(
            loss, [gradients[name] for name in parameters], *parameters.values()
        )
        return known, {"train_score": score}

    return objective


class _KnownGradient(torch.autograd.Function):
    """A loss whose gradient has been computed already."""

    @staticmethod
    def forward(
        ctx: Any, loss: torch.Tensor, gradients: list[torch.Tensor], *parameters: torch.Tensor
    ) -> torch.Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *(outer[0] * gradient for gradient in ctx.gradients)
