"""Small tables of tasks, and the parameters of quick fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fits import Fit
from headstart.learning.multi_task.fit import fit_tasks
from headstart.learning.multi_task.parameters import RegularizedParameters, TaskParameters
from headstart.learning.multi_task.task_model import TaskModel
from headstart.learning.multi_task.tasks import TaskData

COMPUTE = ComputeParameters(device="cpu", progress=False)


def _data(
    targets: Callable[[np.ndarray, np.ndarray], np.ndarray],
    counts: tuple[int, ...],
    width: int = 4,
    classes: int = 0,
    seed: int = 0,
) -> TaskData:
    """Tasks with normal features; `targets` is told the features and each row's task."""
    task = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(seed).normal(size=(len(task), width))
    return TaskData(
        name="toy",
        features=features,
        targets=targets(features, task),
        task=task,
        task_names=tuple(f"t{t}" for t in range(len(counts))),
        feature_names=tuple(f"x{j}" for j in range(width)),
        classes=tuple(f"c{k}" for k in range(classes)),
    )


def _parameters(**changes: Any) -> TaskParameters:
    training = {
        **{"steps": 60, "epochs": 1000, "batch_size": 32, "learning_rate": 0.02},
        **{"clip_norm": None, "evaluations": 4},
        **changes.pop("training", {}),
    }
    return TaskParameters(
        **{
            "hidden": (8,),
            "l2": (0.003, 0.03),
            "training": TrainingParameters(**training),
            "regularized": RegularizedParameters(strengths=(0.1, 1.0)),
            **changes,
        }
    )


def _fit(
    method: str,
    data: TaskData,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    parameters: TaskParameters,
    seed: int = 0,
    **more: Any,
) -> tuple[Fit, TaskModel]:
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    values = ("tables", data.name, "features", method, None, seed, None)
    return fit_tasks(
        method,
        data,
        train=rows[0],
        validation=rows[1],
        test=rows[2],
        parameters=parameters,
        compute=COMPUTE,
        seed=seed,
        identity=dict(zip(names, values, strict=True)),
        **more,
    )


def _split(
    data: TaskData, train: int, validation: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """So many rows of each task, the rest for testing."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for t in range(len(data.task_names)):
        own = rng.permutation(np.flatnonzero(data.task == t))
        for part, rows in zip(parts, np.split(own, [train, train + validation]), strict=True):
            part.append(rows)
    return tuple(np.sort(np.concatenate(part)) for part in parts)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def make_data() -> Callable[..., TaskData]:
    return _data


@pytest.fixture(scope="session")
def make_parameters() -> Callable[..., TaskParameters]:
    return _parameters


@pytest.fixture(scope="session")
def fit() -> Callable[..., tuple[Fit, TaskModel]]:
    return _fit


@pytest.fixture(scope="session")
def split() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return _split
