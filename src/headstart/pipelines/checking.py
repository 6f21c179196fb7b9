"""The node before a training that asks whether it will fit, and the plan that both share.

A training takes the plan among its inputs, so it cannot start, nor load its data, before the check
has passed. The plan says what a step takes, and nothing of the machine: on another one the check
runs again, the training does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.pipeline import Node

from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters, Precision

if TYPE_CHECKING:
    from headstart.learning.planning.trace import Traceable

# What is trained (`track`, `network`, `method`, and the `target`, where it depends on it); examples
# of the planned step; what it holds at its peak, bytes; and its operations, those of a layer that
# is there often once, with how often: none where the plan is a formula.
PLAN_COLUMNS = [
    *("training", "track", "target", "network", "method", "precision", "batch"),
    *("weights", "gradients", "optimizer", "activations", "peak_bytes"),
    *("flops", "moved", "times"),
]
PLANS = "plans."  # how the catalog names of all plans begin
NAMESPACE = "checks"  # before "ingestion" in the alphabet: Kedro runs them first
PRECISIONS: dict[str, Precision] = {"fp32": "fp32", "bf16": "bf16_mixed", "fp16": "fp16_mixed"}


def plan_of(stage: str, name: str) -> str:
    """Catalog name of a training's plan.

    Args:
        stage: of the training.
        name: of the training, within the stage.
    """
    return f"{PLANS}{stage}.{name}"


def check_node(function: Callable[..., pd.DataFrame], stage: str, name: str, **inputs: str) -> Node:
    """The node that checks a training. The same one made twice counts as one when pipelines add up.

    Args:
        function: from `inputs`, `memory` of the devices, `check` and `compute` to the plan; best
            through `plan_training`.
        stage: of the training.
        name: of the training, within the stage.
        inputs: argument -> catalog name of parameters or of a model's configuration; nothing of
            the data.
    """
    return Node(
        function,
        inputs={
            **inputs,
            "memory": "planning.device_memory",
            "check": "params:planning.check",
            "compute": "params:compute",
        },
        outputs=plan_of(stage, name),
        name=f"{stage}_{name}",
        namespace=NAMESPACE,
    )


def plan_training(
    training: str,
    job: Traceable,
    batch: int,
    *,
    facts: dict[str, Any],
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
    side_by_side: bool = False,
    divisible: bool = True,
    cheaper: Mapping[str, Traceable] | None = None,
) -> pd.DataFrame:
    """Plan a training, and refuse one that will not fit.

    Args:
        training: its block of parameters, for the message.
        job: what is trained, and how.
        batch: examples a step.
        facts: `track`, `network` and `method`, by which the report finds what was measured.
        memory: of each device, bytes.
        check: what is kept free, or that nothing is checked.
        compute: the device, and how often a batch is cut into pieces.
        side_by_side: whether there are many fits, which run at once.
        divisible: whether a batch may be cut.
        cheaper: name -> what could be done instead.

    Returns:
        Columns `PLAN_COLUMNS`; no row where nothing is checked.

    Raises:
        HeadstartError: as `headstart.learning.planning.check.check_fits`.
    """
    if not check.enabled:
        return plan_table([])
    from headstart.learning.parallel_fits import count_workers
    from headstart.learning.planning.check import check_fits

    pieces = compute.gradient_accumulation if divisible else 1
    planned = max(2, -(-batch // pieces))
    step = check_fits(
        training,
        job,
        planned,
        usable_memory(memory, check, compute),
        cheaper=cheaper,
        at_once=count_workers(compute) if side_by_side else 1,
    )
    peak = step.peak()
    return plan_table(
        [
            {
                **{"training": training, "precision": compute.precision, "batch": planned},
                **facts,
                **{part: round(size) for part, size in peak.items()},
                "peak_bytes": round(sum(peak.values())),
                "flops": step.work[:, 0].tolist(),
                "moved": step.work[:, 1].tolist(),
                "times": step.times.tolist(),
            }
        ]
    )


def plan_by_formula(
    training: str, batch: int, parts: dict[str, int], facts: dict[str, Any], precision: str
) -> pd.DataFrame:
    """The plan of networks that are too small to be traced: memory alone, no operations.

    Args:
        training: its block of parameters.
        batch: of a step.
        parts: weights, gradients, optimizer, activations, bytes.
        facts: as in `plan_training`.
        precision: that is computed in.
    """
    nothing: dict[str, Any] = {"flops": [], "moved": [], "times": []}
    row = {"training": training, "batch": batch, "precision": precision, **facts, **parts}
    return plan_table([{**row, "peak_bytes": sum(parts.values()), **nothing}])


def usable_memory(
    memory: dict[str, int], check: CheckParameters, compute: ComputeParameters
) -> float:
    """Bytes of the device to be computed on that a training may take."""
    from headstart.learning.encoders import choose_device

    device = choose_device(compute).type
    there = 1e9 * check.memory_gb if check.memory_gb is not None else memory[device]
    return (1 - check.margin) * there


def plan_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A plan of some rows, with the columns of all plans."""
    table = pd.DataFrame(rows, columns=PLAN_COLUMNS)
    names = ["training", "track", "target", "network", "method", "precision"]
    sizes = ["batch", "weights", "gradients", "optimizer", "activations", "peak_bytes"]
    return table.astype(dict.fromkeys(names, "str") | dict.fromkeys(sizes, "Int64"))
