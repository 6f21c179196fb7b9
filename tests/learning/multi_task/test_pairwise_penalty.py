"""The quadratic form against the written-out double sum."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.multi_task.pairwise_penalty import (
    laplacian,
    penalty,
    preconditioner,
    stacked,
)
from headstart.learning.multi_task.stacked_networks import StackedNetworks


def symmetric(tasks: int, seed: int, scale: float = 3.0) -> torch.Tensor:
    """Random strengths, about half of them 0, in float64; also a diagonal that must not matter."""
    generator = torch.Generator().manual_seed(seed)
    raw = scale * torch.rand(tasks, tasks, generator=generator, dtype=torch.float64)
    raw = raw * (torch.rand(tasks, tasks, generator=generator) < 0.5)
    return raw + raw.T


def double_sum(strengths: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=theta.dtype)
    for t in range(len(theta)):
        for u in range(t + 1, len(theta)):
            total = total + strengths[t, u] * (theta[t] - theta[u]).square().sum()
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 10_000))
def test_penalty_and_gradient_equal_the_double_sum(tasks: int, size: int, seed: int) -> None:
    strengths = symmetric(tasks, seed)
    theta = torch.randn(
        tasks, size, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    ).requires_grad_()
    ours = penalty(laplacian(strengths)[None], theta[None])[0]
    theirs = double_sum(strengths, theta)
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    (of_ours,) = torch.autograd.grad(ours, theta)
    (of_theirs,) = torch.autograd.grad(theirs, theta) if tasks > 1 else (torch.zeros_like(theta),)
    assert torch.allclose(of_ours, of_theirs, rtol=1e-6, atol=1e-9)
    assert torch.allclose(of_ours, 2 * laplacian(strengths) @ theta, rtol=1e-9, atol=1e-9)


def test_whole_networks_are_compared_weights_and_biases() -> None:
    networks = StackedNetworks([2, 3, 1], candidates=2, tasks=4, shared=0, seed=0).double()
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(torch.randn_like(parameter))
    strengths = torch.stack([symmetric(4, 0), symmetric(4, 1)])
    found = penalty(laplacian(strengths), stacked(networks.unfold()))
    for c in range(2):
        total = sum(double_sum(strengths[c], p[c].flatten(1)).item() for p in networks.parameters())
        assert abs(found[c].item() - total) < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e6]))
def test_the_preconditioner_keeps_means_and_bounds_curvature(
    tasks: int, seed: int, scale: float
) -> None:
    form = laplacian(symmetric(tasks, seed, scale))
    m = preconditioner(form[None])[0]
    assert torch.allclose(m @ torch.ones(tasks, dtype=m.dtype), torch.ones(tasks, dtype=m.dtype))
    curvature = torch.linalg.eigvalsh(m @ form @ m)
    assert curvature.min() > -1e-7
    assert curvature.max() < 1 + 1e-7


def test_without_strengths_the_preconditioner_is_the_identity_bit_for_bit() -> None:
    for tasks in (1, 2, 7, 65):
        assert torch.equal(preconditioner(torch.zeros(1, tasks, tasks))[0], torch.eye(tasks))
