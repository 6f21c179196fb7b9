"""Which GPU a step fits, how many it takes, the largest batch, and how long a step takes.

On N GPUs that share weights, gradients and optimizer (FSDP; Zhao et al. 2023), each holds

    M = max_t  (weights + gradients_t + optimizer) / N + activations_t  +  gathered

where `gathered` is what is put together of all shares at a time: what stands outside the equal
layers, two layers (the next is fetched while one computes) and the gradient of one. With N = 1, or
where each GPU holds all (DDP), M is the peak itself. The batch is that of each GPU. With a mixed
precision weights are cast while they are gathered, so activations are those of half precision.
Talk between GPUs is left out of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from headstart.learning.planning.extrapolation import Cost
from headstart.learning.planning.gpu_catalogue import Gpu, roofline


def held_by_each(cost: Cost, batch: int, gpus: int, sharding: Literal["ddp", "fsdp"]) -> float:
    """Peak memory of each of some GPUs, bytes.

    Args:
        cost: of a step.
        batch: examples a GPU.
        gpus: N.
        sharding: what they share.
    """
    held = cost.held(batch)
    if gpus == 1 or sharding == "ddp":
        return float(held.sum(axis=1).max())
    sizes, half = cost.sizes, cost.half
    shared, own = held[:, :3].sum(axis=1), held[:, 3]
    if half is not None:  # weights are cast as they are gathered: autocast's copies of all are not
        shared, own = shared.max(), half.held(batch)[:, 3].max()
    weight = (sizes if half is None else half.sizes).weight_bytes / sizes.parameters
    gradient = held[:, 1].max() / sizes.parameters
    gathered = weight * (sizes.outside + 2 * sizes.layer)
    gathered += gradient * (sizes.layer or sizes.outside)
    return float(np.max(shared / gpus + own) + gathered)


def gpus_needed(
    cost: Cost, batch: int, memory: float, sharding: Literal["ddp", "fsdp"], most: int
) -> int | None:
    """The smallest number of GPUs that a step fits on; None where `most` are too few.

    Args:
        cost: of a step.
        batch: examples a GPU.
        memory: of each GPU that may be used, bytes.
        sharding: what they share.
        most: GPUs.
    """
    if held_by_each(cost, batch, 1, sharding) <= memory:
        return 1
    if sharding == "ddp":
        return None

    def too_few(gpus: int) -> bool:
        return gpus == 1 or held_by_each(cost, batch, gpus, sharding) > memory

    fewer = largest(too_few, most)
    return fewer + 1 if fewer < most else None


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` for which something holds; 0: for none.

    Args:
        holds: true up to some number and false from there on.
        most: the largest that is tried.
    """
    low, high = 0, most + 1  # it holds for low, it does not for high
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def step_seconds(cost: Cost, batch: int, gpu: Gpu, *, efficiency: float, launch: float) -> float:
    """How long a step takes, the one GPU's share of it.

    Args:
        cost: of a step.
        batch: examples a GPU.
        gpu: what it runs on.
        efficiency: e.
        launch: l, seconds.
    """
    half = cost.job.precision != "fp32"
    return roofline(*cost.operations(batch), gpu, half=half, efficiency=efficiency, launch=launch)
