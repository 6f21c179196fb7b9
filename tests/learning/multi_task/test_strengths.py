"""Relations between tasks: made, written and refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics.pairwise import haversine_distances

from headstart.errors import HeadstartError
from headstart.learning.multi_task.parameters import RegularizedParameters
from headstart.learning.multi_task.preparation import prepare
from headstart.learning.multi_task.strengths import (
    EARTH_RADIUS,
    distances,
    relation_of,
    similarities,
    written,
)
from headstart.learning.multi_task.tasks import TaskData

TASKS = ["north", "south", "west"]


def test_distances_equal_scikit_learns_and_a_known_one() -> None:
    positions = np.random.default_rng(0).uniform([-90, -180], [90, 180], size=(20, 2))
    expected = haversine_distances(np.radians(positions)) * EARTH_RADIUS
    assert np.allclose(distances(positions), expected)
    poles = np.array([[90.0, 0.0], [-90.0, 120.0]])
    assert distances(poles)[0, 1] == pytest.approx(np.pi * EARTH_RADIUS)


def linear(signs: list[float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, task: (x[:, 0] + 2 * x[:, 1]) * np.array(signs)[task]


def test_relations_are_symmetric_and_shrink_with_the_distance(
    make_data: Callable[..., TaskData],
) -> None:
    data = replace(
        make_data(linear([1.0, 1.0, -1.0]), (40, 40, 40)),
        positions=np.array([[40.0, -74.0], [40.0, -74.5], [48.0, -74.0]]),
    )
    train = np.arange(120)
    preparation = prepare(data, train)
    for name in ("equal", "distance", "similarity"):
        parameters = RegularizedParameters(relation=name, strengths=(1.0,))  # type: ignore[arg-type]
        found = relation_of(data, preparation, train, parameters)
        assert np.array_equal(found, found.T)
        assert (found >= 0).all()
        assert not found.diagonal().any()
        if name == "equal":
            assert np.allclose(found + np.eye(3) / 3, 1 / 3)
        else:  # the first two are near, and alike
            assert found[0, 1] > 2 * found[0, 2]
    only = RegularizedParameters(relation_of={"toy": "distance"}, strengths=(1.0,), scale=50.0)
    expected = np.exp(-distances(data.positions)[0, 1] / 50.0) / 3  # type: ignore[arg-type]
    assert relation_of(data, preparation, train, only)[0, 1] == pytest.approx(expected)
    with pytest.raises(HeadstartError, match="no positions"):
        relation_of(replace(data, positions=None), preparation, train, only)


def test_similarity_is_learned_on_training_rows_alone(make_data: Callable[..., TaskData]) -> None:
    data = make_data(linear([1.0, 1.0, -1.0]), (40, 40, 40))
    train = np.concatenate([np.arange(20) + 40 * t for t in range(3)])
    found = similarities(data, prepare(data, train), train, 0.01)
    assert found[0, 1] > 0.99
    assert found[0, 2] == 0.0
    changed = data.targets.copy()
    changed[np.setdiff1d(np.arange(120), train)] *= -7
    again = similarities(
        replace(data, targets=changed), prepare(replace(data, targets=changed), train), train, 0.01
    )
    assert np.array_equal(found, again)


def test_a_written_matrix_holds_both_ways() -> None:
    found = written("w", {"north": {"south": 2.0}, "west": {"south": 0.5, "west": 9.0}}, TASKS)
    assert found.tolist() == [[0, 2, 0], [2, 0, 0.5], [0, 0.5, 0]]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"north": {"sooth": 1.0}}, "no task 'sooth'; there are north, south, west"),
        ({"nord": {"south": 1.0}}, "no task 'nord'"),
        ({"north": {"south": -1.0}}, "'north' and 'south' is -1; it has to be"),
        ({"north": {"south": float("nan")}}, "has to be a number"),
        ({"north": {"south": 1.0}, "south": {"north": 2.0}}, "a pair has one strength"),
    ],
)
def test_a_wrong_matrix_is_refused(matrix: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        written("w", matrix, TASKS)


def test_a_missing_matrix_is_refused(make_data: Callable[..., TaskData]) -> None:
    data = make_data(linear([1.0, 2.0]), (5, 5))
    rows = np.arange(10)
    with pytest.raises(HeadstartError, match="matrix_of has no matrix"):
        relation_of(
            data,
            prepare(data, rows),
            rows,
            RegularizedParameters(relation="matrix", strengths=(1.0,)),
        )
