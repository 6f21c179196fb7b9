"""One method fitted on a table of several tasks.

All hyper-parameters that it may take are trained at once, as further networks in the same stack;
the best on the validation rows, and the best number of steps, are chosen by the mean over the tasks
of their loss there. Every method has the same grid of l2, so that none looks good because another
was not tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import Fit
from headstart.learning.kept_fits import fit_once
from headstart.learning.multi_task.batches import TaskRows
from headstart.learning.multi_task.conflict import cosine_scores, gradient_cosines
from headstart.learning.multi_task.learner import Candidate, TaskLearner, TaskProblem
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.preparation import Preparation, prepare
from headstart.learning.multi_task.registry import METHODS
from headstart.learning.multi_task.strengths import relation_of
from headstart.learning.multi_task.task_model import TaskModel
from headstart.learning.multi_task.tasks import TaskData
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.training import TrainingData
from headstart.learning.training import train as run_training


@dataclass(frozen=True)
class TaskFitPlan:
    """What all fits on one table share, of whatever method.

    Attributes:
        data: the table.
        parameters: of all methods.
        compute: of each fit.
        checkpoints: where fits under way and finished are kept; None: nowhere.
        made_of: fingerprints of the code and the table, for checkpoints' signatures.
    """

    data: TaskData
    parameters: TaskParameters
    compute: ComputeParameters
    checkpoints: CheckpointFolder | None = None
    made_of: Sequence[Any] = ()


def run_task_job(plan: TaskFitPlan, job: FitJob) -> Fit:
    """One of many fits, unless an interrupted run has finished it already."""
    method = str(job.identity["method"])
    rows: dict[str, Any] = {"train": job.train, "validation": job.validation, "test": job.test}
    signature = make_signature(
        *(job.identity, rows, plan.parameters, plan.compute.deciding(), plan.made_of)
    )
    return fit_once(
        plan.checkpoints and plan.checkpoints.at(method),
        job.identity,
        signature,
        lambda folder: fit_tasks(
            method,
            plan.data,
            **rows,
            parameters=plan.parameters,
            compute=plan.compute,
            seed=int(job.identity["seed"]),
            identity=job.identity,
            checkpoint=folder,
            signature=signature,
        )[0],
    )


def fit_tasks(
    method: str,
    data: TaskData,
    *,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    parameters: TaskParameters,
    compute: ComputeParameters,
    seed: int,
    identity: dict[str, Any],
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
    chosen: dict[str, Any] | None = None,
) -> tuple[Fit, TaskModel]:
    """Fit a method.

    Args:
        method: a key of `METHODS`.
        data: the table.
        train: rows to learn from, at least one of every task.
        validation: rows to choose on, likewise; empty in a refit.
        test: rows to predict; may be empty.
        parameters: of all methods.
        compute: device, precision, checkpoints.
        seed: of initial weights, order and PCGrad's draws.
        identity: the columns of `headstart.learning.fits.IDENTITY`.
        checkpoint: where to save the training under way, and to go on from.
        signature: of everything that the fit is made of.
        chosen: `chosen` of an earlier fit, in a refit on training and validation rows together:
            nothing is chosen again, the same number of steps is done.

    Returns:
        The fit (`validation` and `test` are class probabilities, or numbers in the target's unit)
        and the model.

    Raises:
        HeadstartError: a task has no row to learn from or to choose on; as `relation_of` and
            `headstart.learning.training.train`.
    """
    started = perf_counter()
    _refuse_missing_rows(data, train, validation, refit=chosen is not None)
    device = choose_device(compute)
    with PeakMemory() as memory:
        preparation = prepare(data, train)
        rows = TaskRows(data, preparation, train, device)
        learner = make_learner(method, data, preparation, train, parameters, seed, chosen)
        judge = _Judge(data, preparation, train, validation, parameters, device)
        result = run_training(
            learner,
            lambda model, batch: model(batch),
            TrainingData(rows.size, rows.load),
            parameters=parameters.training,
            compute=compute,
            seed=seed,
            groups=learner.groups(parameters),
            evaluate=judge.scores if len(validation) else None,
            divisible=learner.divisible,
            backward=learner.backward,
            checkpoint=checkpoint,
            signature=signature,
            last_step=(chosen or {}).get("steps"),
            description=f"{method} {data.name}, seed {seed}",
        )
        with torch.no_grad():
            best = int(judge.losses(learner).argmin()) if len(validation) else 0
            model = model_of(learner, best, method, data, preparation)
        predicted = [model.predict(data.features[r], data.task[r]) for r in (validation, test)]
    count = sum(w.size + b.size for w, b in zip(model.weights, model.biases, strict=True))
    fit = Fit(
        identity=identity,
        validation=predicted[0],
        test=predicted[1],
        n_train=len(train),
        trainable_parameters=count,
        total_parameters=count,
        train_seconds=perf_counter() - started + result.seconds_before,
        peak_memory_bytes=memory.bytes,
        chosen={**learner.candidates[best], "steps": result.best_step},
        history=result.history,
    )
    return fit, model


def make_learner(
    method: str,
    data: TaskData,
    preparation: Preparation,
    train: np.ndarray,
    parameters: TaskParameters,
    seed: int,
    chosen: Candidate | None = None,
) -> TaskLearner:
    """All candidates of a method, untrained.

    Args:
        method: a key of `METHODS`.
        data: the table.
        preparation: of its training rows.
        train: these.
        parameters: of all methods.
        seed: of the initial weights.
        chosen: take these hyper-parameters alone.
    """
    learner = METHODS[method]
    counts = np.bincount(data.task[train], minlength=len(data.task_names))
    relation = None
    if method == "regularized":
        found = relation_of(data, preparation, train, parameters.regularized)
        relation = torch.from_numpy(found)
    problem = TaskProblem(
        inputs=preparation.width,
        outputs=data.outputs,
        regression=data.regression,
        shares=(counts / counts.sum()).tolist(),
        parameters=parameters,
        relation=relation,
    )
    grid = learner.grid(parameters)
    if chosen is not None:
        grid = [{name: chosen[name] for name in grid[0]}]
    return learner(problem, grid, seed)


def model_of(
    learner: TaskLearner, candidate: int, method: str, data: TaskData, preparation: Preparation
) -> TaskModel:
    """The networks of one candidate, to predict with.

    Args:
        learner: trained.
        candidate: its number.
        method: its name.
        data: the table.
        preparation: of its training rows.
    """
    layers = learner.networks.unfold()
    shared = learner.networks.shared
    arrays = [
        [
            part[candidate, : 1 if i < shared else None].detach().cpu().numpy().copy()
            for part in layer
        ]
        for i, layer in enumerate(layers)
    ]
    return TaskModel(
        method=method,
        task_names=data.task_names,
        feature_names=data.feature_names,
        classes=data.classes,
        preparation=preparation,
        told_the_task=learner.told_the_task,
        weights=[weight for weight, _ in arrays],
        biases=[bias for _, bias in arrays],
    )


class _Judge:
    """The candidates' losses on the validation rows, and the conflict on training rows."""

    def __init__(
        self,
        data: TaskData,
        preparation: Preparation,
        train: np.ndarray,
        validation: np.ndarray,
        parameters: TaskParameters,
        device: torch.device,
    ):
        self._conflict = parameters.conflict
        self._train = TaskRows(data, preparation, train, device, most=parameters.conflict.rows)
        if len(validation):
            self._validation = TaskRows(data, preparation, validation, device)

    def losses(self, learner: TaskLearner) -> torch.Tensor:
        """Mean over the tasks, of every candidate: (C,)."""
        return learner.data_losses(self._validation.at(slice(None))).mean(dim=1)

    def scores(self, learner: nn.Module) -> dict[str, float]:
        """What the history is told at an evaluation."""
        assert isinstance(learner, TaskLearner)
        losses = self.losses(learner)
        scores = {"validation_loss": float(losses.min())}
        if learner.networks.shared and learner.networks.tasks > 1:
            cosines = gradient_cosines(learner, self._train.at(slice(None)))
            best = cosines[int(losses.argmin())].cpu().numpy()
            scores |= cosine_scores(best, self._conflict.tasks)
        return scores


def _refuse_missing_rows(
    data: TaskData, train: np.ndarray, validation: np.ndarray, refit: bool
) -> None:
    asked = [("to learn from", train)] + ([] if refit else [("to choose on", validation)])
    for what, rows in asked:
        counts = np.bincount(data.task[rows], minlength=len(data.task_names))
        if not counts.all():
            task = data.task_names[int(counts.argmin())]
            raise HeadstartError(
                f"{data.name}: the task '{task}' has no row {what}; leave the task out, or give "
                "it more rows."
            )
