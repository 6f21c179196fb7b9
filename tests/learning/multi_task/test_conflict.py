"""Gradients of the tasks at what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchjd.aggregation import MGDA, PCGrad

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.multi_task.batches import TaskRows
from headstart.learning.multi_task.conflict import cosine_scores, cosine_table, gradient_cosines
from headstart.learning.multi_task.fit import make_learner
from headstart.learning.multi_task.groupings import transfer_gains
from headstart.learning.multi_task.preparation import prepare
from headstart.learning.multi_task.tasks import TaskData

COMPUTE = ComputeParameters(device="cpu", progress=False)


def opposed(x: np.ndarray, task: np.ndarray) -> np.ndarray:
    """Tasks 0 and 1 want the same, task 2 its opposite."""
    noise = 0.3 * np.random.default_rng(3).normal(size=len(x))
    return np.where(task == 2, -1, 1) * np.tanh(x[:, 0] + x[:, 1] * x[:, 2]) + noise


def start(data: TaskData, parameters: Any, method: str) -> tuple[Any, Any]:
    rows = np.arange(len(data.task))
    preparation = prepare(data, rows)
    learner = make_learner(method, data, preparation, rows, parameters, seed=0)
    return learner, TaskRows(data, preparation, rows, torch.device("cpu")).at(slice(None))


def jacobian(learner: Any, batch: Any, candidate: int) -> torch.Tensor:
    """The tasks' gradients at the shared layers, one backward pass a task."""
    rows = []
    for t in range(learner.networks.tasks):
        loss = learner.data_losses(batch)[candidate, t]
        found = torch.autograd.grad(loss, learner.networks.shared_parameters())
        rows.append(torch.cat([g[candidate].flatten() for g in found]))
    return torch.stack(rows)


def test_cosines_equal_those_of_one_backward_pass_a_task(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    data = make_data(opposed, (40, 30, 50))
    for method in ("layer_sharing", "pooled"):
        learner, batch = start(data, make_parameters(), method)
        found = gradient_cosines(learner, batch)
        for c in range(2):
            g = torch.nn.functional.normalize(jacobian(learner, batch, c), dim=1)
            assert torch.allclose(found[c], g @ g.T, atol=1e-4)
    pooled = found[0]
    assert pooled[0, 1] > 0.2 > 0 > pooled[0, 2]


@pytest.mark.parametrize(("method", "peer"), [("pcgrad", PCGrad()), ("mgda", MGDA())])
def test_the_shared_layers_gradient_is_the_surgeons_and_the_others_their_own(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    method: str,
    peer: Any,
) -> None:
    data = make_data(opposed, (40, 40))
    data.targets[data.task == 1] *= -1
    learner, batch = start(data, make_parameters(l2=(0.0, 0.0)), method)
    learner.backward(learner(vars(batch)))
    for c in range(2):
        g = jacobian(learner, batch, c)
        ours = torch.cat([p.grad[c].flatten() for p in learner.networks.shared_parameters()])
        theirs = peer(g) / (2 if method == "pcgrad" else 1)
        assert torch.allclose(ours, theirs, atol=1e-3 * float(g.norm()))
    own = learner.networks.own_parameters()
    expected = torch.autograd.grad(learner.data_losses(batch).mean(dim=1).sum(), own)
    assert all(torch.allclose(p.grad, e, atol=1e-6) for p, e in zip(own, expected, strict=True))


def test_gradnorm_evens_out_gradients_of_different_lengths(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    # The second task's targets vary ten times as much: its gradient would decide alone.
    data = make_data(lambda x, task: x[:, 0] * np.array([0.3, 3.0])[task], (50, 50))
    learner, batch = start(data, make_parameters(l2=(0.0,)), "gradnorm")
    optimizer = torch.optim.Adam([learner.v], lr=0.15)
    spreads = []
    for _ in range(40):  # of v alone, the networks standing still
        learner.zero_grad()
        learner.backward(learner(vars(batch)))
        lengths = jacobian(learner, batch, 0).norm(dim=1)
        weighted = learner.v.detach().softmax(dim=1)[0] * lengths
        spreads.append(float(weighted.max() / weighted.min()))
        optimizer.step()
    assert spreads[0] > 3
    assert spreads[-1] < 1.5


def test_gradnorms_weights_get_the_gradient_of_the_published_loss(
    make_data: Callable[..., TaskData], make_parameters: Callable[..., Any]
) -> None:
    """Chen et al. 2018, algorithm 1, written out: one backward pass a task, its norm, autograd."""
    slopes = np.array([0.3, 3.0, -1.0])
    data = make_data(lambda x, task: x[:, 0] * slopes[task] + x[:, 1], (50, 50, 50))
    learner, batch = start(data, make_parameters(l2=(0.0, 0.0)), "gradnorm")
    alpha = learner.alpha
    learner.backward(learner(vars(batch)))
    first = learner.data_losses(batch).detach()
    with torch.no_grad():  # some way on: other losses, unequal weights
        for parameter in learner.networks.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        learner.v.copy_(torch.tensor([[0.2, -0.4, 0.5], [1.0, 0.0, -0.3]]))
    learner.zero_grad()
    learner.backward(learner(vars(batch)))
    shared = learner.networks.shared_parameters()
    for c in range(2):
        v = learner.v[c].detach().double().requires_grad_()
        w = 3 * v.softmax(dim=0)
        lengths = []
        for t in range(3):
            loss = learner.data_losses(batch)[c, t]
            of_task = [part[c].flatten() for part in torch.autograd.grad(loss, shared)]
            lengths.append((w[t] * torch.cat(of_task).double()).norm())
        remaining = (learner.data_losses(batch).detach()[c] / first[c]).double()
        wanted = torch.stack(lengths).mean().detach() * (remaining / remaining.mean()) ** alpha
        published = sum((length - want).abs() for length, want in zip(lengths, wanted, strict=True))
        (expected,) = torch.autograd.grad(published, v)
        assert expected.abs().max() > 1e-3
        assert torch.allclose(learner.v.grad[c].double(), expected, rtol=1e-4, atol=1e-6)


def test_a_history_tells_of_pairs_only_where_they_are_few() -> None:
    cosines = np.array([[1, 0.5, -0.5], [0.5, 1, 0.3], [-0.5, 0.3, 1]])
    scores = cosine_scores(cosines, 3)
    assert scores == {
        **{"gradient_cosine": pytest.approx(0.1), "conflicting_pairs": pytest.approx(1 / 3)},
        **{"gradient_cosine.0.1": 0.5, "gradient_cosine.0.2": -0.5, "gradient_cosine.1.2": 0.3},
    }
    assert set(cosine_scores(cosines, 2)) == {"gradient_cosine", "conflicting_pairs"}


def test_the_table_of_cosines_names_the_tasks(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    data = make_data(opposed, (40, 40, 40))
    made, _ = fit("layer_sharing", data, split(data, 20, 10), make_parameters())
    table = cosine_table(made.history, data.task_names)
    assert set(zip(table["task"], table["other"], strict=True)) == {
        *(("t0", "t1"), ("t0", "t2"), ("t1", "t2")),
    }
    assert table["step"].nunique() == 4
    assert table["value"].between(-1.001, 1.001).all()
    nothing, _ = fit("separate", data, split(data, 20, 10), make_parameters())
    assert cosine_table(nothing.history, data.task_names).empty


def test_groupings_find_who_helps_whom(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    split: Callable[..., Any],
) -> None:
    """Tasks 0 and 1 need the same feature; task 2 needs others, which crowd it out."""

    def targets(x: np.ndarray, task: np.ndarray) -> np.ndarray:
        shared = np.sin(x[:, :4] @ np.array([1.0, -1.0, 0.5, 1.5]))
        other = np.sin(3 * (x[:, 4] - x[:, 5]))
        noise = 0.1 * np.random.default_rng(1).normal(size=len(x))
        return np.where(task == 2, other, shared) + noise

    parameters = make_parameters(training={"steps": 150}, hidden=(16,))
    gains: dict[tuple[str, str], list[float]] = {}
    for seed in range(4):
        data = make_data(targets, (400,) * 3, width=6, seed=seed)
        train, validation, _ = split(data, 60, 340, seed=seed)
        table = transfer_gains(
            data,
            **{"train": train, "validation": validation, "parameters": parameters},
            **{"compute": COMPUTE, "seed": seed},
        )
        assert len(table) == 6
        assert np.allclose(table["alone"] - table["together"], table["gain"])
        for row in table.itertuples():
            gains.setdefault((str(row.task), str(row.other)), []).append(float(row.gain))
    means = {pair: np.mean(values) for pair, values in gains.items()}
    assert min(means["t0", "t1"], means["t1", "t0"]) > 0.02
    assert max(means["t0", "t2"], means["t1", "t2"]) < 0.5 * means["t0", "t1"]
    with pytest.raises(HeadstartError, match="3 tasks have 3 pairs, too many"):
        transfer_gains(
            data,
            **{"train": train, "validation": validation, "compute": COMPUTE, "seed": 0},
            parameters=make_parameters(conflict={"tasks": 2}),
        )
