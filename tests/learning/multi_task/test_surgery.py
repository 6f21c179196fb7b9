"""Gradient surgery: published values, properties, an independent library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd.aggregation import MGDA, CAGrad, PCGrad

from headstart.learning.multi_task.cagrad import cagrad_weights
from headstart.learning.multi_task.gradnorm import imbalance
from headstart.learning.multi_task.mgda import mgda_weights
from headstart.learning.multi_task.pcgrad import pcgrad_weights

PUBLISHED = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64)


def gradients(tasks: int, size: int, seed: int, opposed: float = 0.5) -> torch.Tensor:
    """Random gradients, (T, P), with conflicts."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(tasks, size)) + opposed * rng.choice([-1, 1], size=(tasks, 1))
    return torch.from_numpy(drawn * rng.uniform(0.1, 5, size=(tasks, 1)))


def direction(weights: Callable[..., torch.Tensor], g: torch.Tensor, *more: float) -> torch.Tensor:
    return (weights((g @ g.T)[None], *more) @ g)[0]


def test_published_values() -> None:
    d = direction(pcgrad_weights, PUBLISHED)
    assert d.numpy() == pytest.approx([0.5848, 3.8012, 3.8012], abs=1e-4)
    assert direction(mgda_weights, PUBLISHED).numpy() == pytest.approx([0, 1, 1], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 10_000))
def test_mgda_equals_torchjds_and_leaves_no_conflict(tasks: int, size: int, seed: int) -> None:
    g = gradients(tasks, size, seed)
    d = direction(mgda_weights, g)
    # Theirs goes on by small steps until it is told to stop, so ours is at most as long.
    theirs = MGDA(epsilon=1e-9, max_iters=2000)(g)
    assert d.norm() <= theirs.norm() + 1e-9
    assert torch.allclose(d, theirs, atol=0.02 * float(g.norm(dim=1).max()))
    assert (g @ d >= d @ d - 1e-9 * float(g.norm()) ** 2).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000))
def test_pcgrad_of_two_tasks_equals_torchjds_and_leaves_no_conflict(size: int, seed: int) -> None:
    g = gradients(2, size, seed)
    d = direction(pcgrad_weights, g)
    assert torch.allclose(d, PCGrad()(g), atol=1e-9)
    assert (g @ d >= -1e-9).all()
    assert torch.allclose(direction(pcgrad_weights, g.flip(0)), d)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 6), st.integers(2, 8), st.integers(0, 10_000))
def test_pcgrad_equals_the_algorithm_as_it_is_written(tasks: int, size: int, seed: int) -> None:
    stacks = [gradients(tasks, size, seed + c) for c in range(2)]
    torch.manual_seed(seed)
    found = pcgrad_weights(torch.stack([g @ g.T for g in stacks]))
    torch.manual_seed(seed)
    orders = torch.rand(2, tasks, tasks).argsort(dim=2)
    for c, g in enumerate(stacks):
        total = torch.zeros(size, dtype=g.dtype)
        for t in range(tasks):
            projected = g[t].clone()
            for u in orders[c, t].tolist():
                if u != t and projected @ g[u] < 0:
                    projected -= (projected @ g[u]) / (g[u] @ g[u]) * g[u]
            total += projected
        assert torch.allclose(found[c] @ g, total, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(2, 8), st.integers(0, 10_000), st.sampled_from([0.2, 0.5]))
def test_cagrad_is_the_best_for_the_worst_off_within_its_radius(
    tasks: int, size: int, seed: int, c: float
) -> None:
    g = gradients(tasks, size, seed)
    mean = g.mean(dim=0)
    d = direction(cagrad_weights, g, c)
    radius = c * mean.norm()
    scale = float(g.norm())
    assert (d - mean).norm() <= radius * (1 + 1e-6) + 1e-9
    worst = (g @ d).min()
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(2000, size, generator=generator, dtype=g.dtype)
    others = mean + radius * steps / steps.norm(dim=1, keepdim=True)
    assert worst >= (others @ g.T).amin(dim=1).max() - 1e-4 * scale**2
    assert worst >= (g @ mean).min() - 1e-6 * scale**2
    if c == 0.2:
        assert torch.allclose(direction(cagrad_weights, g, 0.0), mean)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(2, 8), st.integers(0, 10_000), st.sampled_from([0.2, 0.5]))
def test_cagrad_equals_torchjds(tasks: int, size: int, seed: int, c: float) -> None:
    g = gradients(tasks, size, seed)
    # Theirs solves the dual by an interior-point method for cones; where the gradients of a mixture
    # nearly vanish, it gives up, which norm_eps decides.
    theirs = CAGrad(c=c, norm_eps=1e-9)(g)
    ours = direction(cagrad_weights, g, c)
    assert torch.allclose(ours, theirs, atol=2e-3 * float(g.norm(dim=1).max()))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_the_order_of_the_tasks_does_not_matter(tasks: int, seed: int) -> None:
    g = gradients(tasks, 8, seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(tasks))
    scale = float(g.norm(dim=1).max())
    for weights, more in ((mgda_weights, ()), (cagrad_weights, (0.5,))):
        one, other = (direction(weights, rows, *more) for rows in (g, g[order]))
        assert torch.allclose(one, other, atol=2e-3 * scale)


def test_gradients_that_vanish_give_finite_weights() -> None:
    zeros = torch.zeros(1, 3, 3)
    one = torch.zeros(1, 3, 3)
    one[0, 0, 0] = 1.0
    for gramian in (zeros, one):
        for found in (pcgrad_weights(gramian), mgda_weights(gramian), cagrad_weights(gramian, 0.5)):
            assert found.isfinite().all()


def test_imbalance_by_hand_and_its_gradient() -> None:
    # Lengths 1 and 3, mean 2; the second task has half of its loss left, the first all of it.
    remaining = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    lengths = torch.tensor([[1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    wanted = [2 * (1 / 0.75) ** 1.5, 2 * (0.5 / 0.75) ** 1.5]
    found = imbalance(lengths, remaining, 1.5)
    assert found.item() == pytest.approx(abs(1 - wanted[0]) + abs(3 - wanted[1]))
    found.backward()  # the slow task's weight grows, the fast one's falls
    assert lengths.grad is not None
    assert lengths.grad.tolist() == [[-1.0, 1.0]]
