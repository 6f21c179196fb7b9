"""One method meta-trained on a family of tasks, and scored on new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.meta_learning.evaluation import EpisodeScores, evaluate_episodes
from headstart.learning.meta_learning.frozen_features import FrozenFeatures
from headstart.learning.meta_learning.meta_learner import MetaLearner, NetworkParameters
from headstart.learning.meta_learning.meta_training import meta_train
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.nearest_centroid import NearestCentroid
from headstart.learning.meta_learning.parameters import MetaTestParameters
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.meta_learning.registry import build_method
from headstart.learning.meta_learning.task_network import Reading
from headstart.learning.meta_learning.tasks import SplitTasks
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.training import TrainingResult

_KEPT = "result"  # the checkpoint that a finished fit leaves
_TRANSDUCTIVE: Reading = "query"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class MetaFitPlan:
    """What the fits of one method on one family share.

    Attributes:
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        parameters: its block.
        network: of its network; None: inputs are features of a frozen encoder.
        tasks: the family.
        queries: examples (of each class) that a task is tested on.
        training_queries: likewise in meta-training.
        test: how new tasks are scored.
        inputs: see `headstart.learning.meta_learning.meta_learner.MetaLearner`.
        compute: of each fit.
        frozen_parameters: numbers of the frozen encoder.
        checkpoints: where fits under way and finished are kept; None: nowhere.
        made_of: fingerprints of the code and the data, for checkpoints' signatures.
    """

    method: str
    parameters: Any
    network: NetworkParameters | None
    tasks: SplitTasks
    queries: int
    training_queries: int
    test: MetaTestParameters
    inputs: Mapping[str, Any]
    compute: ComputeParameters
    frozen_parameters: int = 0
    checkpoints: CheckpointFolder | None = None
    made_of: Sequence[Any] = ()


@dataclass(frozen=True)
class MetaJob:
    """One fit to be done.

    Attributes:
        shots: examples (of each class) that a task is learned from.
        seed: of initial weights and meta-training episodes.
    """

    shots: int
    seed: int


@dataclass(frozen=True)
class MetaFit:
    """One method meta-trained once.

    Attributes:
        job: what was asked for.
        metric: name of the score.
        scores: reading -> scores of the meta-test, shape (steps + 1, episodes); the asked reading
            first, the transductive one second, where batch norm makes a difference.
        diverged: reading -> episodes that had diverged after each step, shape (steps + 1,).
        validation: scores of the meta-validation after the last step, shape (episodes,).
        history: of the meta-training: step, epoch, name, value.
        best_step: meta-training steps after which the weights that were kept were reached.
        trainable_parameters: numbers that meta-training, or adaptation without it, changes.
        total_parameters: numbers of the network, the frozen encoder included.
        train_seconds: wall-clock time of the meta-training.
        peak_memory_bytes: rise of the memory in use during it; None where the platform cannot tell.
        learner: to be handed over; None where there is no network of its own.
    """

    job: MetaJob
    metric: str
    scores: Mapping[str, np.ndarray]
    diverged: Mapping[str, np.ndarray]
    validation: np.ndarray
    history: pd.DataFrame
    best_step: int
    trainable_parameters: int
    total_parameters: int
    train_seconds: float
    peak_memory_bytes: int | None
    learner: MetaLearner | None


def run_meta_job(plan: MetaFitPlan, job: MetaJob) -> MetaFit:
    """One of many fits; meta-training is not done again if an interrupted run has finished it.

    Args:
        plan: what all of them share.
        job: this one.
    """
    signature = make_signature(
        *(plan.method, plan.parameters, plan.network, plan.test),
        *(plan.tasks.examples(1), plan.queries, plan.training_queries),
        *(job, plan.compute.deciding(), plan.made_of),
    )
    at = f"shots_{job.shots}_seed_{job.seed}"
    folder = plan.checkpoints and plan.checkpoints.at(at)
    method = _build(plan, job)
    trained = folder and method.meta_trained and folder.load(signature=signature, name=_KEPT)
    if trained:
        method.load_state_dict(trained.tensors)
        method.to(choose_device(plan.compute))
        course = _Course(**{**trained.metadata, "history": _table(trained.metadata["history"])})
    else:
        course = _meta_train(plan, job, method, folder, signature)
        if folder and method.meta_trained:
            metadata = {**vars(course), "history": course.history.to_dict("list")}
            folder.save(method.state_dict(), metadata, signature=signature, name=_KEPT)
            folder.remove()
    return _score(plan, job, method, course)


@dataclass(frozen=True)
class _Course:
    """How a meta-training went; see `MetaFit`."""

    history: pd.DataFrame
    best_step: int = 0
    train_seconds: float = 0.0
    peak_memory_bytes: int | None = 0


def _table(columns: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns, columns=["step", "epoch", "name", "value"])


def _build(plan: MetaFitPlan, job: MetaJob) -> Method:
    """The method with random weights."""
    if plan.network is None:
        return NearestCentroid(FrozenFeatures(), CLASSIFICATION, plan.parameters)
    family = plan.tasks.part("meta_train", job.shots, plan.training_queries)
    return build_method(plan.method, plan.parameters, plan.network, family, job.seed)


def _meta_train(
    plan: MetaFitPlan,
    job: MetaJob,
    method: Method,
    folder: CheckpointFolder | None,
    signature: str,
) -> _Course:
    """Meta-train in place, where there is anything to be meta-trained."""
    if not method.meta_trained:
        method.to(choose_device(plan.compute))
        return _Course(_table({}))
    training = plan.parameters.training
    family = plan.tasks.part("meta_train", job.shots, plan.training_queries)
    with PeakMemory() as memory:
        result: TrainingResult = meta_train(
            method,
            method.training_data(family, training, job.seed),
            training=training,
            compute=plan.compute,
            seed=job.seed,
            evaluate=lambda model: _validation_loss(plan, job, model),
            checkpoint=folder,
            signature=signature,
            description=f"{plan.method} {plan.tasks.name}, {job.shots} shots, seed {job.seed}",
        )
    return _Course(
        history=result.history,
        best_step=result.best_step,
        train_seconds=result.seconds,
        peak_memory_bytes=memory.bytes,
    )


def _validation_loss(plan: MetaFitPlan, job: MetaJob, method: nn.Module) -> dict[str, float]:
    """Mean loss of the meta-validation after the last step; decides which weights are kept."""
    assert isinstance(method, Method)
    losses = _evaluate(plan, job, method, "meta_validation", plan.test.reading).losses[-1]
    # One task that diverged must not end the training: these weights are just not kept.
    loss = float(np.nan_to_num(losses.mean(), nan=_LARGEST, posinf=_LARGEST))
    return {"validation_loss": loss}


def _evaluate(
    plan: MetaFitPlan, job: MetaJob, method: Method, split: str, reading: Reading
) -> EpisodeScores:
    testing = split == "meta_test"
    return evaluate_episodes(
        method,
        plan.tasks.part(split, job.shots, plan.queries),
        episodes=plan.test.episodes if testing else plan.test.validation_episodes,
        seed=plan.test.seed if testing else plan.test.seed + 1,
        steps=getattr(plan.parameters, "test_steps", 0),
        reading=_possible(reading, method),
        tasks_at_once=plan.test.episodes_at_once,
    )


def _possible(reading: Reading, method: Method) -> Reading:
    """The reading, or where a method does not know it the one that is closest.

    Without meta-training there are no running statistics; without batch norm all is one.
    """
    known = method.readings
    return reading if reading in known else "support" if "support" in known else known[0]


def _score(plan: MetaFitPlan, job: MetaJob, method: Method, course: _Course) -> MetaFit:
    """The meta-test, the meta-validation, and what is handed over."""
    method.eval()
    asked = plan.test.reading
    tested = {asked: _evaluate(plan, job, method, "meta_test", asked)}
    if plan.tasks.transductive:
        alike = len(method.readings) == 1 or asked == _TRANSDUCTIVE
        tested[_TRANSDUCTIVE] = (
            tested[asked] if alike else _evaluate(plan, job, method, "meta_test", _TRANSDUCTIVE)
        )
    steps = range(len(tested[asked].scores))
    counted = sum(p.numel() for p in method.parameters())
    learner = plan.network and MetaLearner.of(
        plan.method,
        method,
        parameters=plan.parameters,
        network=plan.network,
        inputs=plan.inputs,
        reading=_possible(asked, method),
    )
    return MetaFit(
        job=job,
        metric=tested[asked].metric,
        # An error that is not a number has diverged: none is larger.
        scores={r: np.nan_to_num(s.scores, nan=np.inf, posinf=np.inf) for r, s in tested.items()},
        diverged={
            r: np.array([s.diverged(step, plan.test.diverged) for step in steps])
            for r, s in tested.items()
        },
        validation=np.nan_to_num(
            _evaluate(plan, job, method, "meta_validation", asked).scores[-1], nan=np.inf
        ),
        history=course.history,
        best_step=course.best_step,
        trainable_parameters=counted,
        total_parameters=plan.frozen_parameters
        + sum(p.numel() for p in method.network.parameters()),
        train_seconds=course.train_seconds,
        peak_memory_bytes=course.peak_memory_bytes,
        learner=learner or None,
    )
