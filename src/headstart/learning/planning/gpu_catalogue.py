"""The GPUs of the catalogue, and how long operations take on one.

Time is a roofline (Williams et al. 2009), operation by operation:

    seconds = sum_t  max( flops_t / (e F),  bytes_t / (e B),  l )

F the GPU's throughput, B its memory's bandwidth, e the share of both that kernels reach, l the time
to launch one, of which small networks consist. Loading data is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError

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
