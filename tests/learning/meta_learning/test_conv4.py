from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.task_network import Normalization, Weights, read_queries

Downsampling = Literal["pool", "stride"]
TASKS, N, FILTERS, WAYS = 3, 5, 4, 2


def network(channels: int = 2, downsampling: Downsampling = "pool", steps: int = 1) -> Conv4:
    torch.manual_seed(0)
    return Conv4(channels, FILTERS, WAYS, steps, downsampling).double()


def own_weights(net: Conv4) -> Weights:
    """Weights that differ from task to task."""
    torch.manual_seed(1)
    return {
        name: (w + 0.3 * torch.randn_like(w)).detach().requires_grad_()
        for name, w in net.stacked(TASKS).items()
    }


def images(channels: int = 2, side: int = 16, n: int = N) -> torch.Tensor:
    return torch.rand(TASKS, n, channels, side, side + 3).double()


def textbook(
    weights: Weights,
    x: torch.Tensor,
    task: int,
    downsampling: str,
    rows: int | None = None,
    moments: torch.Tensor | None = None,
) -> torch.Tensor:
    """One task, convolution, batch norm, ReLU, pooling, in this order."""
    h = x
    for layer in range(4):
        kernel = weights[f"kernel_{layer}"][task]
        h = F.conv2d(h, kernel, padding=1, stride=1 if downsampling == "pool" else 2)
        counted = h[:rows]
        mean = counted.mean((0, 2, 3)) if moments is None else moments[0, layer]
        variance = counted.var((0, 2, 3), correction=0) if moments is None else moments[1, layer]
        h = (h - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        h = h * weights[f"scale_{layer}"][task][:, None, None]
        h = F.relu(h + weights[f"shift_{layer}"][task][:, None, None])
        if downsampling == "pool":
            h = F.max_pool2d(h, 2)
    return h.mean((2, 3)) @ weights["head_weight"][task].T + weights["head_bias"][task]


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
@pytest.mark.parametrize(("channels", "side"), [(1, 16), (2, 19), (3, 28)])
def test_all_tasks_at_once_are_the_textbook_network_for_each(
    downsampling: Downsampling, channels: int, side: int
) -> None:
    net = network(channels, downsampling)
    weights, x = own_weights(net), images(channels, side)
    outputs, _ = net(weights, x, Normalization())
    plain = torch.stack([textbook(weights, x[t], t, downsampling) for t in range(TASKS)])
    torch.testing.assert_close(outputs, plain, rtol=1e-9, atol=1e-9)

    def second_order(values: torch.Tensor) -> list[torch.Tensor]:
        """The gradient of the squared gradient, so that the double backward pass is seen."""
        parts = list(weights.values())
        gradients = torch.autograd.grad(values.square().sum(), parts, create_graph=True)
        total = torch.stack([g.square().sum() for g in gradients]).sum()
        return list(torch.autograd.grad(total, parts))

    for ours, theirs in zip(second_order(outputs), second_order(plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
def test_the_readings_of_batch_norm(downsampling: Downsampling) -> None:
    net = network(downsampling=downsampling)
    weights, support, query = own_weights(net), images(n=4), images(n=6)
    net.running_mean.normal_()
    net.running_variance.uniform_(0.5, 2)

    def said(reading: Literal["query", "support", "running"], step: int = 0) -> torch.Tensor:
        return read_queries(net, weights, support, query, step, reading)

    for task in range(TASKS):
        together = textbook(weights, query[task], task, downsampling)
        torch.testing.assert_close(said("query")[task], together)
        both = torch.cat([support[task], query[task]])
        by_support = textbook(weights, both, task, downsampling, rows=4)[4:]
        torch.testing.assert_close(said("support")[task], by_support)
        for step, kept in ((0, 0), (1, 1), (7, 1)):  # the last where there were no more steps
            moments = torch.stack([net.running_mean[kept], net.running_variance[kept]])
            running = textbook(weights, query[task], task, downsampling, moments=moments)
            torch.testing.assert_close(said("running", step)[task], running)


@pytest.mark.parametrize("reading", ["support", "running"])
def test_without_transduction_a_query_is_judged_alone(reading: str) -> None:
    net = network()
    weights, support, query = own_weights(net), images(n=4), images(n=6)
    together = read_queries(net, weights, support, query, 0, reading)  # type: ignore[arg-type]
    for i in range(6):
        alone = read_queries(net, weights, support, query[:, i : i + 1], 0, reading)  # type: ignore[arg-type]
        torch.testing.assert_close(together[:, i : i + 1], alone)


def test_moments_are_those_of_the_layers_inputs_and_move_the_running_statistics() -> None:
    net = network()
    weights, x = own_weights(net), images()
    _, moments = net(weights, x, Normalization())
    assert not moments.requires_grad
    # Normalized by its own moments a task says the same; so they are what batch norm took.
    one = {name: w[:1] for name, w in weights.items()}
    expected, own = net(one, x[:1], Normalization())
    net.remember(torch.stack([own, own]))
    torch.testing.assert_close(net.running_mean[0], 0.1 * own[0])
    torch.testing.assert_close(net.running_variance[1], 0.9 + 0.1 * own[1])
    net.running_mean[0], net.running_variance[0] = own
    running, _ = net(one, x[:1], Normalization(running=True))
    torch.testing.assert_close(running, expected)


def test_images_that_cannot_be_halved_four_times_are_an_error() -> None:
    net = network()
    with pytest.raises(HeadstartError, match="15 x 18 pixels"):
        net(net.stacked(TASKS), images(side=15), Normalization())
    small = network(downsampling="stride")
    assert small(small.stacked(TASKS), images(side=6), Normalization())[0].isfinite().all()
