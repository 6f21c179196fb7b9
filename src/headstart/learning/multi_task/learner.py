"""What the methods have in common: networks, hyper-parameters and the losses of the tasks.

The loss of task t in candidate c, with the l2 of that candidate and all weights W of its network:

    L_ct = mean_i loss(f_ct(x_ti), y_ti) + l2_c ||W_ct||^2

loss is the squared error of the scaled target, or -log softmax(f)[y]. A method says which layers
the tasks share and how their losses become one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn

from headstart.learning.multi_task.batches import TaskBatch
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.stacked_networks import (
    Layers,
    StackedNetworks,
    apply,
    squared_norms,
)
from headstart.learning.training import ParameterGroup

Candidate = dict[str, float]  # hyper-parameter -> value


@dataclass(frozen=True)
class TaskProblem:
    """What a learner is made for.

    Attributes:
        inputs: columns of the prepared features, D.
        outputs: K classes, or 1.
        regression: whether the targets are numbers.
        shares: of each task among the training rows, shape (T,), sum 1.
        parameters: of all methods.
        relation: strengths of the pairs of tasks that `regularized` multiplies, (T, T); None for
            the other methods.
    """

    inputs: int
    outputs: int
    regression: bool
    shares: Sequence[float]
    parameters: TaskParameters
    relation: torch.Tensor | None = None

    @property
    def tasks(self) -> int:
        """T."""
        return len(self.shares)


class TaskLearner(nn.Module):
    """All candidates of one method.

    Args:
        problem: what it is for.
        candidates: hyper-parameters, C.
        seed: of the initial weights.
    """

    sharing: ClassVar[Literal["nothing", "hidden", "everything"]] = "nothing"
    told_the_task: ClassVar[bool] = False  # by one more input for each
    divisible: ClassVar[bool] = True  # whether a batch may be cut (see `train`)
    l2: torch.Tensor
    shares: torch.Tensor

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        super().__init__()
        self.candidates = list(candidates)
        self.regression = problem.regression
        hidden = problem.parameters.hidden
        inputs = problem.inputs + (problem.tasks if self.told_the_task else 0)
        shared = {"nothing": 0, "hidden": len(hidden), "everything": len(hidden) + 1}
        self.register_buffer("l2", torch.tensor([c["l2"] for c in candidates]), persistent=False)
        self.register_buffer("shares", torch.tensor(problem.shares).float(), persistent=False)
        self.networks = StackedNetworks(
            [inputs, *hidden, problem.outputs],
            candidates=len(candidates),
            tasks=problem.tasks,
            shared=shared[self.sharing],
            seed=seed,
            mix=self.mixing(problem),
        )

    @classmethod
    def grid(cls, parameters: TaskParameters) -> list[Candidate]:
        """The hyper-parameters that are tried, all in one training."""
        return [{"l2": l2} for l2 in parameters.l2]

    def mixing(self, problem: TaskProblem) -> torch.Tensor | None:
        """How the networks come out of the parameters (`StackedNetworks`)."""
        return None

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """What is minimized.

        Args:
            losses: L, shape (C, T).
            layers: of the networks.

        Returns:
            One loss a candidate, (C,); or what `backward` takes.
        """
        raise NotImplementedError

    def backward(self, loss: torch.Tensor) -> None:
        """Make the gradients out of what `joined` gave; candidates do not touch each other."""
        loss.sum().backward()

    def groups(self, parameters: TaskParameters) -> list[ParameterGroup]:
        """What is trained, with scales of the learning rate."""
        return [ParameterGroup(list(self.parameters()))]

    def inputs(self, features: torch.Tensor) -> torch.Tensor:
        """Features as the networks are fed them: (b, T, D), or with the task (b, T, D + T)."""
        if not self.told_the_task:
            return features
        tasks = torch.eye(features.shape[1], device=features.device)
        return torch.cat([features, tasks.expand(len(features), -1, -1)], dim=2)

    def data_losses(self, batch: TaskBatch, layers: Layers | None = None) -> torch.Tensor:
        """Mean loss of every network on its task's rows, without penalties: (C, T).

        Args:
            batch: of every task's rows.
            layers: unfolded before; None: now.
        """
        outputs = apply(layers or self.networks.unfold(), self.inputs(batch.features))
        losses = self._row_losses(outputs, batch.targets.T.expand(outputs.shape[:3]))
        return (losses * batch.weights.T).mean(dim=2)

    def forward(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """The objective on a batch, as the training loop wants it."""
        layers = self.networks.unfold()
        losses = self.data_losses(TaskBatch(**batch), layers)
        return self.joined(losses + self.l2[:, None] * squared_norms(layers), layers)

    def _row_losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.regression:
            return (outputs[..., 0] - targets).square()
        flat = F.cross_entropy(outputs.flatten(0, 2), targets.flatten(), reduction="none")
        return flat.view_as(targets)


def combinations(**values: Sequence[float]) -> list[Candidate]:
    """Every combination of some hyper-parameters' values."""
    return [dict(zip(values, one, strict=True)) for one in product(*values.values())]
