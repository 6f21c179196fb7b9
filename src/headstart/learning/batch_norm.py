"""Batch norm, made explicit: which layers there are, and their running statistics computed anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from headstart.learning.schedule import steps_per_epoch

NORMS = nn.modules.batchnorm._BatchNorm


def norms_of(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers of a model that keep running statistics."""
    return [m for m in model.modules() if isinstance(m, NORMS) and m.track_running_stats]


@torch.no_grad()
def precise_batch_norm(
    model: nn.Module,
    load: Callable[[np.ndarray], torch.Tensor],
    rows: np.ndarray,
    *,
    most_rows: int,
    batch_size: int,
) -> None:
    """Compute the running statistics of batch norm anew, as means over batches.

    A moving average lags behind weights that change fast, and behind a short training altogether
    where its momentum is small (0.01 in networks that come from TensorFlow); and it is of the
    inputs that were trained on, which need not look like those that the network is used on
    ("precise batch norm"; Wu and Johnson 2021).

    Args:
        model: it is left in evaluation mode.
        load: from some rows to what the model is fed, on its device.
        rows: to compute them over; of more than `most_rows` evenly spaced ones are taken.
        most_rows: how many rows count, at most.
        batch_size: rows a batch.
    """
    norms = norms_of(model)
    model.eval()
    if not norms:
        return
    count = min(len(rows), most_rows)
    rows = rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
    batches = steps_per_epoch(count, batch_size)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches since the reset
        norm.train()
    for i in range(batches):
        # Every so manyth row: rows may be sorted by class, batches should not be.
        model(load(rows[i::batches]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
