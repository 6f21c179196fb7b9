"""The stack against networks one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.learning.multi_task.pairwise_penalty import laplacian, penalty, stacked
from headstart.learning.multi_task.stacked_networks import StackedNetworks, apply, squared_norms


def stack(shared: int, candidates: int = 2, tasks: int = 3) -> StackedNetworks:
    networks = StackedNetworks(
        [4, 5, 3, 2], candidates=candidates, tasks=tasks, shared=shared, seed=1
    ).double()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(torch.randn_like(parameter))
    return networks


def one_network(networks: StackedNetworks, candidate: int, task: int) -> nn.Sequential:
    """The same network out of torch's own layers."""
    parts: list[nn.Module] = []
    for i, (weight, bias) in enumerate(zip(networks.weights, networks.biases, strict=True)):
        own = 0 if i < networks.shared else task
        layer = nn.Linear(*reversed(weight.shape[2:]), dtype=torch.float64)
        layer.weight = nn.Parameter(weight[candidate, own].detach().clone())
        layer.bias = nn.Parameter(bias[candidate, own].detach().clone())
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize("shared", [0, 1, 2, 3])
def test_outputs_and_task_gradients_equal_those_of_networks_one_by_one(shared: int) -> None:
    networks = stack(shared)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    layers = networks.unfold()
    outputs = apply(layers, x)
    copies = [part for layer in layers for part in layer]
    gradients = torch.autograd.grad(outputs.square().sum(), copies)
    norms = squared_norms(layers)
    for c in range(2):
        for t in range(3):
            alone = one_network(networks, c, t)
            said = alone(x[:, t])
            assert torch.allclose(outputs[c, t], said)
            expected = torch.autograd.grad(said.square().sum(), list(alone.parameters()))
            assert all(
                torch.allclose(ours[c, t], theirs)
                for ours, theirs in zip(gradients, expected, strict=True)
            )
            weights = [p for n, p in alone.named_parameters() if n.endswith("weight")]
            assert torch.isclose(norms[c, t], sum(w.square().sum() for w in weights))  # type: ignore[arg-type]


def test_all_networks_begin_with_the_same_weights() -> None:
    for parameter in StackedNetworks(
        [4, 3, 1], candidates=3, tasks=2, shared=1, seed=5
    ).parameters():
        flat = parameter.flatten(0, 1)
        assert torch.equal(flat, flat[:1].expand_as(flat))
    other = StackedNetworks([4, 3, 1], candidates=3, tasks=2, shared=1, seed=6)
    assert not torch.equal(parameter[0], list(other.parameters())[-1][0])


def operations(result: torch.Tensor) -> int:
    """Nodes of the graph that a result was computed by."""
    seen, waiting = set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)


def test_two_hundred_tasks_take_as_many_operations_as_three() -> None:
    counts = []
    for tasks in (3, 200):
        networks = stack(0, candidates=1, tasks=tasks)
        form = laplacian(torch.ones(1, tasks, tasks, dtype=torch.float64))
        layers = networks.unfold()
        outputs = apply(layers, torch.ones(5, tasks, 4, dtype=torch.float64))
        counts.append(operations(outputs.square().mean() + penalty(form, stacked(layers)).sum()))
    assert counts[0] == counts[1] > 10
