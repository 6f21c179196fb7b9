"""How the tasks' losses become one where layers are shared, and where one network serves all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from headstart.learning.multi_task.batches import TaskRows
from headstart.learning.multi_task.fit import make_learner
from headstart.learning.multi_task.preparation import prepare
from headstart.learning.multi_task.tasks import TaskData

LOSSES = torch.tensor([[1.0, 2.0], [3.0, 5.0]])


def numbers(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(2).normal(size=len(x))
    return x[:, 0] + np.array([0.1, 2.0])[task] * noise


def learner(data: TaskData, parameters: Any, method: str = "layer_sharing") -> Any:
    rows = np.arange(len(data.task))
    return make_learner(method, data, prepare(data, rows), rows, parameters, seed=0)


def test_weights_of_the_tasks_by_hand(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    data = make_data(numbers, (10, 30))
    classes = make_data(lambda x, task: (x[:, 0] > 0).astype(np.int64), (10, 30), classes=2)
    equal = learner(data, make_parameters())
    assert equal.joined(LOSSES, []).tolist() == [1.5, 4.0]
    size = learner(data, make_parameters(weighting="size"))
    assert size.joined(LOSSES, []).tolist() == [1.75, 4.5]
    assert learner(data, make_parameters(), "pooled").joined(LOSSES, []).tolist() == [1.75, 4.5]
    s = np.array([0.3, -0.7])
    for table, factor in ((data, 0.5), (classes, 1.0)):
        uncertain = learner(table, make_parameters(weighting="uncertainty"))
        with torch.no_grad():
            uncertain.log_variance.copy_(torch.tensor(s).expand(2, 2))
        expected = [np.mean(np.exp(-s) * factor * np.array(row) + s / 2) for row in LOSSES.tolist()]
        assert uncertain.joined(LOSSES, []).tolist() == pytest.approx(expected)


def test_the_pooled_loss_is_the_mean_over_all_rows(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    data = make_data(numbers, (10, 30))
    pooled = learner(data, make_parameters(l2=(0.0, 0.5)), "pooled")
    rows = np.arange(40)
    preparation = prepare(data, rows)
    batch = TaskRows(data, preparation, rows, torch.device("cpu")).at(slice(None))
    x = torch.from_numpy(preparation.features(data.features))
    said = pooled.networks(x[:, None].expand(-1, 2, -1))[0, 0, :, 0]
    errors = (said - torch.from_numpy(preparation.targets(data.targets))).square()
    found = pooled(vars(batch))
    assert found[0].item() == pytest.approx(errors.mean().item(), rel=1e-5)
    squares = sum(w[0].square().sum().item() for w in pooled.networks.weights)
    assert found[1].item() == pytest.approx(errors.mean().item() + 0.5 * squares, rel=1e-5)


def test_uncertainty_finds_the_noisy_task(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    data = make_data(numbers, (100, 100))
    uncertain = learner(data, make_parameters(weighting="uncertainty", l2=(0.0,)))
    rows = np.arange(200)
    batch = TaskRows(data, prepare(data, rows), rows, torch.device("cpu")).at(slice(None))
    optimizer = torch.optim.Adam(uncertain.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        uncertain.backward(uncertain(vars(batch)))
        optimizer.step()
    quiet, noisy = uncertain.log_variance.detach()[0].tolist()
    assert noisy > quiet + 1
