"""How strongly each pair of tasks is tied: what the strengths of `regularized` multiply.

    equal        1 / T
    distance     exp(-d_tu / scale) / T       d_tu: the way between the positions on the sphere, km
    similarity   max(0, cos(v_t, v_u)) / T    v_t: ridge regression of task t on its training rows
    matrix       as the user writes it

The diagonal is 0. The distance is the haversine formula's, with the Earth's mean radius R:

    d = 2 R asin sqrt(sin^2((p_t - p_u) / 2) + cos p_t cos p_u sin^2((q_t - q_u) / 2))

p, q: latitude, longitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.errors import HeadstartError
from headstart.learning.multi_task.parameters import Matrix, RegularizedParameters
from headstart.learning.multi_task.preparation import Preparation
from headstart.learning.multi_task.tasks import TaskData

EARTH_RADIUS = 6371.0088  # km


def relation_of(
    data: TaskData, preparation: Preparation, train: np.ndarray, parameters: RegularizedParameters
) -> np.ndarray:
    """The relation that the parameters ask for on this table.

    Args:
        data: the table.
        preparation: of its training rows.
        train: these; nothing else is looked at.
        parameters: which relation.

    Returns:
        Symmetric, at least 0, the diagonal 0: shape (T, T).

    Raises:
        HeadstartError: the tasks have no positions; a matrix is missing or wrong.
    """
    tasks = len(data.task_names)
    relation = parameters.relation_of.get(data.name, parameters.relation)
    if relation == "matrix":
        if data.name not in parameters.matrix_of:
            raise HeadstartError(
                f"regularized: the relation of {data.name} is 'matrix', but matrix_of has no "
                f"matrix for it; write one, or take another relation."
            )
        return written(data.name, parameters.matrix_of[data.name], data.task_names)
    if relation == "distance":
        if data.positions is None:
            raise HeadstartError(
                f"regularized: the relation of {data.name} is 'distance', but its tasks have no "
                "positions; give them in the catalog, or take another relation."
            )
        found = np.exp(-distances(data.positions) / parameters.scale)
    elif relation == "similarity":
        found = similarities(data, preparation, train, parameters.similarity_l2)
    else:
        found = np.ones((tasks, tasks))
    return found * (1 - np.eye(tasks)) / tasks


def written(name: str, matrix: Matrix, tasks: Sequence[str]) -> np.ndarray:
    """A matrix that the user has written, checked.

    Args:
        name: of the table.
        matrix: task -> other task -> number; a pair named once holds both ways.
        tasks: T names.

    Raises:
        HeadstartError: there is no such task; a number is negative or not finite; the two numbers
            of a pair differ.
    """
    where = f"regularized.matrix_of.{name}"
    place = {task: t for t, task in enumerate(tasks)}
    found = np.full((len(tasks), len(tasks)), np.nan)
    for task, row in matrix.items():
        for other, value in row.items():
            for unknown in {task, other} - place.keys():
                known = ", ".join(list(tasks)[:10])
                raise HeadstartError(f"{where}: there is no task '{unknown}'; there are {known}.")
            if not 0 <= value < np.inf:
                raise HeadstartError(
                    f"{where}: the strength of '{task}' and '{other}' is {value:g}; it has to be "
                    "a number of at least 0."
                )
            t, u = place[task], place[other]
            if not np.isnan(found[t, u]) and found[t, u] != value:
                raise HeadstartError(
                    f"{where}: the strength of '{task}' and '{other}' is {value:g}, that of "
                    f"'{other}' and '{task}' {found[t, u]:g}; a pair has one strength, name it "
                    "once or twice the same."
                )
            found[t, u] = found[u, t] = value
    np.fill_diagonal(found, 0.0)
    return np.nan_to_num(found)


def distances(positions: np.ndarray) -> np.ndarray:
    """Great-circle distances in km, (T, T), of latitudes and longitudes in degrees, (T, 2)."""
    p, q = np.radians(positions).T
    half = np.sin((p[:, None] - p) / 2) ** 2
    half = half + np.cos(p[:, None]) * np.cos(p) * np.sin((q[:, None] - q) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.minimum(half, 1.0))))


def similarities(
    data: TaskData, preparation: Preparation, train: np.ndarray, l2: float
) -> np.ndarray:
    """Cosines of the tasks' linear models, negative ones set to 0: (T, T).

    v_t minimizes 1/n_t ||Y - X v||^2 + l2 ||v||^2 over the task's training rows, X and Y prepared
    and centered in the task (Y of classes: one column each).

    Args:
        data: the table.
        preparation: of its training rows.
        train: these.
        l2: ridge penalty.
    """
    vectors = []
    for t in range(len(data.task_names)):
        own = train[data.task[train] == t]
        x = preparation.features(data.features[own]).astype(np.float64)
        y = preparation.targets(data.targets[own])
        y = y[:, None].astype(np.float64) if data.regression else np.eye(data.outputs)[y]
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        gram = x.T @ x / len(own) + l2 * np.eye(x.shape[1])
        vectors.append(np.linalg.solve(gram, x.T @ y / len(own)).ravel())
    v = np.array(vectors)
    lengths = np.linalg.norm(v, axis=1)
    return np.maximum(0.0, v @ v.T / np.maximum(np.outer(lengths, lengths), 1e-30))
