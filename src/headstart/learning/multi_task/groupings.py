"""Which task helps which: every pair of tasks learned together, against each learned alone.

    gain_tu = score of task t alone - score of task t together with u

Learned together means shared hidden layers with an output layer each; the score is the root mean
squared error in the target's unit, or the negative log-likelihood, on the validation rows: a gain
above 0 says that u helps t. All groups, T alone and T (T - 1) / 2 pairs, are candidates of one
stack, so that the search costs one training. Each group's l2 is chosen on the same validation rows,
which flatters alone and together alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.multi_task.batches import TaskRows
from headstart.learning.multi_task.learner import Candidate, TaskProblem
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.preparation import prepare
from headstart.learning.multi_task.shared_layers import SharedLayers
from headstart.learning.multi_task.stacked_networks import Layers
from headstart.learning.multi_task.tasks import TaskData
from headstart.learning.training import TrainingData
from headstart.learning.training import train as run_training

GAIN_COLUMNS = ["task", "other", "alone", "together", "gain"]


class Groups(SharedLayers):
    """Layer sharing within groups of tasks, every group with every l2.

    Args:
        problem: of all tasks.
        groups: the tasks of each group, G; candidate g * (number of l2) + i has the i-th l2.
        seed: of the initial weights.
    """

    members: torch.Tensor

    def __init__(self, problem: TaskProblem, groups: Sequence[Sequence[int]], seed: int):
        grid: list[Candidate] = [{"l2": l2} for _ in groups for l2 in problem.parameters.l2]
        super().__init__(problem, grid, seed)
        members = torch.zeros(len(groups), problem.tasks)
        for g, tasks in enumerate(groups):
            members[g, list(tasks)] = 1.0
        self.register_buffer("members", members.repeat_interleave(len(problem.parameters.l2), 0))

    def joined(self, losses: torch.Tensor, layers: Layers) -> torch.Tensor:
        """The mean over the group's tasks."""
        return self.mean_of_group(losses)

    def mean_of_group(self, losses: torch.Tensor) -> torch.Tensor:
        """(C, T) -> (C,)."""
        return (losses * self.members).sum(dim=1) / self.members.sum(dim=1)


def transfer_gains(
    data: TaskData,
    *,
    train: np.ndarray,
    validation: np.ndarray,
    parameters: TaskParameters,
    compute: ComputeParameters,
    seed: int,
) -> pd.DataFrame:
    """The gain of every pair, on one draw of rows.

    Args:
        data: the table.
        train: rows to learn from, some of every task.
        validation: rows that the gains are measured on, likewise.
        parameters: as of `layer_sharing`; at most `conflict.tasks` tasks.
        compute: device and precision.
        seed: of initial weights and order.

    Returns:
        One row an ordered pair: task and other (names), the task's score alone and together with
        the other, and the gain.

    Raises:
        HeadstartError: there are too many tasks.
    """
    tasks, grid = len(data.task_names), len(parameters.l2)
    if tasks > parameters.conflict.tasks:
        raise HeadstartError(
            f"{data.name}: {tasks} tasks have {tasks * (tasks - 1) // 2} pairs, too many to try; "
            f"conflict.tasks allows {parameters.conflict.tasks}. Raise it if you can wait."
        )
    device = choose_device(compute)
    preparation = prepare(data, train)
    rows = TaskRows(data, preparation, train, device)
    asked = TaskRows(data, preparation, validation, device).at(slice(None))
    pairs = list(combinations(range(tasks), 2))
    groups: list[tuple[int, ...]] = [*((t,) for t in range(tasks)), *pairs]
    learner = Groups(
        TaskProblem(
            inputs=preparation.width,
            outputs=data.outputs,
            regression=data.regression,
            shares=[1 / tasks] * tasks,
            parameters=parameters,
        ),
        groups,
        seed,
    )

    def of_groups() -> tuple[torch.Tensor, torch.Tensor]:
        """Losses of every task, (G, T), and their mean over the group, (G,), at its best l2."""
        losses = learner.data_losses(asked)
        means = learner.mean_of_group(losses).view(-1, grid)
        best = means.argmin(dim=1)
        chosen = losses.view(len(groups), grid, tasks)[torch.arange(len(groups)), best]
        return chosen, means.amin(dim=1)

    def evaluate(_: nn.Module) -> dict[str, float]:
        return {"validation_loss": float(of_groups()[1].mean())}

    run_training(
        learner,
        lambda model, batch: model(batch),
        TrainingData(rows.size, rows.load),
        parameters=parameters.training,
        compute=compute,
        seed=seed,
        evaluate=evaluate,
        backward=learner.backward,
        description=f"groupings {data.name}, seed {seed}",
    )
    with torch.no_grad():
        losses = of_groups()[0].double().cpu().numpy()
    scores = np.sqrt(losses) * preparation.target_deviation if data.regression else losses
    found = []
    for g, (t, u) in enumerate(pairs, start=tasks):
        for one, other in ((t, u), (u, t)):
            alone, together = float(scores[one, one]), float(scores[g, one])
            names = data.task_names[one], data.task_names[other]
            found.append((*names, alone, together, alone - together))
    return pd.DataFrame(found, columns=GAIN_COLUMNS).sort_values(
        ["task", "other"], ignore_index=True
    )
