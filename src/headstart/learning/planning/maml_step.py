"""The outer loss of MAML (Finn et al. 2017) on the tasks of a step, for plans.

    1/T sum_t L_t^query(theta_t),   theta_t = phi - alpha grad L_t^support(phi),  or n such steps

with second derivatives. Tasks are computed one after the other, and the gradient of all of them at
the end, so what every task has stored is there at once. Conv-4 goes through the project's own MAML.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.func import functional_call

from headstart.learning.meta_learning.maml import query_losses
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork, Weights
from headstart.learning.planning.parameters import PlannedMethod

_STEP_SIZE = 0.1  # of what is never computed


def maml_loss(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> torch.Tensor:
    """The equation above.

    Args:
        whole: `headstart.learning.planning.steps.WholeModel`.
        batch: "inputs", the T support sets one after the other, "others", the query sets, and
            their classes, "labels".
        method: T and n.
    """
    one = _conv4_task if isinstance(whole.body, TaskNetwork) else _task
    supports, queries, labels = (
        batch[name].chunk(method.tasks) for name in ("inputs", "others", "labels")
    )
    losses = [
        one(whole, support, query, classes, method.inner_steps)
        for support, query, classes in zip(supports, queries, labels, strict=True)
    ]
    return torch.stack(losses).mean()


def _task(
    whole: Any, support: torch.Tensor, query: torch.Tensor, labels: torch.Tensor, steps: int
) -> torch.Tensor:
    weights = dict(whole.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(functional_call(whole, weights, (support,)), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        pairs = zip(weights.items(), gradients, strict=True)
        weights = {name: torch.sub(w, g, alpha=_STEP_SIZE) for (name, w), g in pairs}
    return F.cross_entropy(functional_call(whole, weights, (query,)), labels)


def _conv4_task(
    whole: Any, support: torch.Tensor, query: torch.Tensor, labels: torch.Tensor, steps: int
) -> torch.Tensor:
    network, classes = whole.body, labels[None]

    def support_loss(weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, moments = network(weights, support[None], Normalization())
        return CLASSIFICATION.loss(outputs, classes), moments

    result = query_losses(
        support_loss,
        network,
        CLASSIFICATION,
        network.stacked(1),
        query[None],
        classes,
        _STEP_SIZE,
        steps,
        "second",
    )
    return result.losses[0]
