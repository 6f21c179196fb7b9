"""Batch norm over a batch that is shared out among processes.

Each of P processes has n_p of the batch's n values of a channel. With

    mu = 1/n sum_p n_p mean_p(x),   s2 = 1/n sum_p n_p mean_p((x - mu)^2)

every process normalizes by the statistics of the whole batch, as one process would. Torch's own
`SyncBatchNorm` is for GPUs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from headstart.learning.summed import summed

NORMS = nn.modules.batchnorm._BatchNorm


@contextmanager
def synchronized_batch_norm(model: nn.Module, counts: bool) -> Iterator[None]:
    """Let a model's batch norm take the statistics of all processes while it is in training mode.

    Args:
        model: all processes call it as often.
        counts: whether the examples of this process count; False: they are there only so that
            this process goes along.
    """
    norms = [m for m in model.modules() if isinstance(m, NORMS) and m.training]
    for norm in norms:
        norm.forward = partial(_normalize, norm, counts)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward  # the class's own is back


@torch.compiler.disable
def _normalize(norm: NORMS, counts: bool, x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        count = wide.new_full((1,), wide.numel() / wide.shape[1] if counts else 0.0)
        sums = summed(torch.cat([wide.mean(axes) * count, count]))
        n, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centered = wide - mean.view(shape)
        variance = summed(centered.square().mean(axes) * count) / n
        y = centered * (variance + norm.eps).rsqrt().view(shape)
        if norm.affine:
            y = y * norm.weight.view(shape) + norm.bias.view(shape)
        if norm.track_running_stats:
            _remember(norm, mean.detach(), variance.detach() * n / (n - 1))
    return y.to(x.dtype)


@torch.no_grad()
def _remember(norm: NORMS, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Move the running statistics on, as batch norm does."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = norm.momentum
    if momentum is None:
        momentum = 1 / float(norm.num_batches_tracked)
    for running, now in ((norm.running_mean, mean), (norm.running_var, variance)):
        assert running is not None
        running.lerp_(now.to(running.dtype), momentum)
