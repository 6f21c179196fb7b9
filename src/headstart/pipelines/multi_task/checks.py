"""Whether learning the tasks of a table will fit: by a formula, the networks are small."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters
from headstart.pipelines.binding import bind
from headstart.pipelines.checking import check_node, plan_by_formula, plan_table, usable_memory
from headstart.pipelines.multi_task.parameters import MultiTaskParameters


def create_check(target: str, method: str) -> Node:
    """The check of a method on a table. It needs to know what columns there are, and no row.

    Args:
        target: name of the target.
        method: a key of `headstart.learning.multi_task.registry.METHODS`, or pair_gains.
    """
    return check_node(
        bind(check_tasks, target=target, method=method),
        "multi_task",
        f"{target}_{method}",
        columns=f"ingestion.{target}.columns",
        parameters="params:multi_task",
    )


def check_tasks(
    target: str,
    method: str,
    columns: dict[str, Any],
    parameters: MultiTaskParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan a method on a table.

    Args:
        target: name of the target.
        method: a key of `headstart.learning.multi_task.registry.METHODS`, or pair_gains.
        columns: what the columns of the table are.
        parameters: of the stage.
        memory: of the devices, bytes.
        check: what is kept free.
        compute: of the machine.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`, without operations.

    Raises:
        HeadstartError: it will not fit.
    """
    if not check.enabled:
        return plan_table([])
    from headstart.learning.multi_task.step_memory import step_memory
    from headstart.learning.parallel_fits import count_workers

    learning = parameters.learning
    shape = {
        "features": len(columns["features"]),
        "tasks": len(columns["tasks"]),
        "outputs": len(columns["classes"] or ()) or 1,
    }
    parts = step_memory(method, learning, **shape)
    peak, workers = sum(parts.values()), count_workers(compute)
    usable = usable_memory(memory, check, compute) / workers
    if peak > usable:
        rows = learning.training.batch_size
        row = (peak - _at(method, learning, shape, 1)) / max(1, rows - 1)
        most = int(1 + (usable - _at(method, learning, shape, 1)) // row) if row else 0
        fewer = step_memory("pooled", learning, **shape)
        advice = f"a batch_size of {most} would fit" if most > 0 else "not even one row would fit"
        if sum(fewer.values()) <= usable:
            advice += f"; so would pooled ({sum(fewer.values()) / 1e9:.2f} GB)"
        raise HeadstartError(
            f"multi_task.learning, {method} on {target}: a step on {rows} rows of each task needs "
            f"{peak / 1e9:.2f} GB of memory and there are {usable / 1e9:.2f} GB; {advice}; or take "
            "narrower hidden layers, or fewer l2."
        )
    return plan_by_formula(
        "multi_task.learning",
        learning.training.batch_size,
        parts,
        {"track": "tables", "target": target, "network": "features", "method": method},
        compute.precision,
    )


def _at(method: str, learning: Any, shape: dict[str, int], rows: int) -> int:
    from headstart.learning.multi_task.step_memory import step_memory

    training = learning.training.model_copy(update={"batch_size": rows})
    one = learning.model_copy(update={"training": training})
    return sum(step_memory(method, one, **shape).values())
