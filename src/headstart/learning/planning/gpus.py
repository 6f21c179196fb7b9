"""Which GPU a step fits, how many it takes, the largest batch, and how long a step takes.

On N GPUs that share weights, gradients and optimizer (FSDP; Zhao et al. 2023), each holds

    M = max_t  (weights + gradients_t + optimizer) / N + activations_t  +  gathered

where `gathered` is what is put together of all shares at a time: what stands outside the equal
layers, two layers (the next is fetched while one computes) and the gradient of one. With N = 1, or
where each GPU holds all (DDP), M is the peak itself. The batch is that of each GPU. With a mixed
precision weights are cast while they are gathered, so activations are those of half precision.

Time is a roofline (Williams et al. 2009), operation by operation:

    seconds = sum_t  max( flops_t / (e F),  bytes_t / (e B),  l )

F the GPU's throughput, B its memory's bandwidth, e the share of both that kernels reach, l the time
to launch one, of which small networks consist. Talk between GPUs and loading data are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.planning.extrapolation import Cost

GPU_COLUMNS = ["gpu", "memory_gib", "bandwidth_gb_s", "half_tflops", "single_tflops"]


@dataclass(frozen=True)
class Gpu:
    """A device.

    Attributes:
        name: of it.
        memory: bytes.
        bandwidth: of its memory, bytes a second.
        half: floating-point operations a second in fp16 and bf16, dense, summed in fp32.
        single: in fp32.
    """

    name: str
    memory: float
    bandwidth: float
    half: float
    single: float


def gpus_of(table: pd.DataFrame, names: list[str] | None = None) -> list[Gpu]:
    """The GPUs of a catalogue.

    Args:
        table: columns `GPU_COLUMNS`; others are ignored.
        names: those that are wanted; None: all.

    Raises:
        HeadstartError: a column or a GPU is missing, or a number is not above zero.
    """
    if missing := [column for column in GPU_COLUMNS if column not in table]:
        raise HeadstartError(
            f"planning.gpus: the table has no column '{missing[0]}'; it needs "
            f"{', '.join(GPU_COLUMNS)}."
        )
    for column in GPU_COLUMNS[1:]:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = ~(numbers > 0) | ~np.isfinite(numbers)
        if wrong.any():
            row = table[wrong].iloc[0]
            raise HeadstartError(
                f"planning.gpus: {column} of '{row['gpu']}' is {row[column]}; it has to be a "
                "number above zero."
            )
    if (twice := table["gpu"].duplicated()).any():
        raise HeadstartError(f"planning.gpus: '{table['gpu'][twice].iloc[0]}' stands there twice.")
    known = {
        str(row["gpu"]): Gpu(
            str(row["gpu"]),
            float(row["memory_gib"]) * 2**30,
            float(row["bandwidth_gb_s"]) * 1e9,
            float(row["half_tflops"]) * 1e12,
            float(row["single_tflops"]) * 1e12,
        )
        for row in table.to_dict("records")
    }
    for name in names or []:
        if name not in known:
            raise HeadstartError(
                f"planning.gpus.names: the catalogue has no '{name}'. It has {', '.join(known)}; "
                "add a row to it."
            )
    return [known[name] for name in names or known]


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


def roofline(
    flops: np.ndarray,
    moved: np.ndarray,
    times: np.ndarray,
    gpu: Gpu,
    *,
    half: bool,
    efficiency: float,
    launch: float,
) -> float:
    """Seconds that some operations take, one after the other.

    Args:
        flops: of each operation, shape (U,).
        moved: bytes that each reads and writes, shape (U,).
        times: how often each is done, shape (U,).
        gpu: what it runs on.
        half: whether it computes in fp16 or bf16.
        efficiency: e.
        launch: l, seconds.
    """
    throughput = gpu.half if half else gpu.single
    longer = np.maximum(flops / throughput, moved / gpu.bandwidth) / efficiency
    return float(np.maximum(longer, launch * (moved > 0)) @ times)  # a view launches nothing
