"""A meta-learner that has met a task: what a user's few labeled examples make of it.

    theta = adapt(phi, support),    y(x) = f_theta(x)

Batch norm is made a part of the model: its running statistics become those of the support set, or
stay those of the meta-training. So what is said of one new example depends on no other (this is
not transductive), and the support set is not needed any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.meta_learner import MetaLearner, copied
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.meta_learning.registry import METHODS, METRIC_METHODS
from headstart.learning.meta_learning.task_network import Normalization

FixedReading = Literal["support", "running"]
"""What batch norm normalizes new examples by; see
`headstart.learning.meta_learning.task_network.Reading`."""


@dataclass(frozen=True)
class AdaptedLearner:
    """A learned task.

    Attributes:
        learner: what was adapted; its running statistics of batch norm are those of the task.
        weights: what was adapted: weights of the network, or what stands for the classes.
        steps: of gradient descent that were taken.
        classes: names of the classes in the order of the outputs; empty: outputs are numbers.
    """

    learner: MetaLearner
    weights: Mapping[str, torch.Tensor]
    steps: int
    classes: tuple[str, ...]


def learn_task(
    learner: MetaLearner,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    classes: Sequence[str] = (),
    steps: int | None = None,
    reading: FixedReading = "support",
) -> AdaptedLearner:
    """Learn a task from its support set.

    Args:
        learner: meta-trained.
        x: inputs, shape (n, ...).
        y: classes, int64 (n,), each occurring; or numbers, float (n, 1).
        classes: their names.
        steps: of gradient descent; None: as many as the method's `test_steps`.
        reading: of batch norm, where there is any.

    Raises:
        HeadstartError: the meta-learner cannot have so many classes, or has no such statistics.
    """
    refuse_other_ways(learner, classes)
    method = learner.build()
    if steps is None:
        steps = int(learner.parameters.get("test_steps", 0))
    normalizes = len(method.network.readings) > 1
    if normalizes and reading not in method.readings:
        raise HeadstartError(
            f"'{learner.method}' is not meta-trained, so batch norm has no running statistics; "
            "choose the reading 'support'."
        )
    x = x[None]
    with torch.no_grad():
        # Nothing is asked here; one example stands for the queries.
        adapted = method.adapt(x, y[None], x[:, :1], steps=steps, reading=reading).weights
        if normalizes and reading == "support":
            changed = {n: w for n, w in adapted.items() if n in method.network.weights}
            weights = method.network.stacked(1) | changed
            _, moments = method.network.features(weights, x, Normalization())
            method.network.replace_running(moments)
    return AdaptedLearner(
        learner=dataclasses.replace(
            learner, weights=copied(method.state_dict()), reading="running"
        ),
        weights=copied({name: weight[0] for name, weight in adapted.items()}),
        steps=steps,
        classes=tuple(classes),
    )


def refuse_other_ways(learner: MetaLearner, classes: Sequence[str]) -> None:
    """Raise where a last layer that was meta-trained has other classes than the task.

    Args:
        learner: meta-trained.
        classes: of the task.

    Raises:
        HeadstartError: gives the numbers, and says what works.
    """
    if learner.problem != CLASSIFICATION.name or learner.outputs in (0, len(classes)):
        return
    any_number = sorted(name for name in METRIC_METHODS if METHODS[name].meta_trained)
    raise HeadstartError(
        f"'{learner.method}' was meta-trained on tasks of {learner.outputs} classes, and its last "
        f"layer has as many; yours has {len(classes)} ({', '.join(classes)}). Meta-train it with "
        f"{len(classes)} ways, give {learner.outputs} classes, or choose a method that takes any "
        f"number of classes: {', '.join(any_number)}."
    )


@torch.no_grad()
def predict(adapted: AdaptedLearner, x: torch.Tensor) -> torch.Tensor:
    """Outputs for new inputs, each on its own.

    Args:
        adapted: the learned task.
        x: shape (m, ...).

    Returns:
        Logits, shape (m, classes), or numbers, (m, 1).
    """
    method = adapted.learner.build()
    weights = {name: weight[None] for name, weight in adapted.weights.items()}
    return method.predict(weights, x[None], adapted.steps)[0]
