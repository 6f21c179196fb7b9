"""A plan as tables: memory by part, and GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from headstart.learning.planning.extrapolation import Cost, measure_cost
from headstart.learning.planning.formulas import formulas_by_part
from headstart.learning.planning.gpu_catalogue import Gpu
from headstart.learning.planning.gpus import gpus_needed, held_by_each, largest, step_seconds
from headstart.learning.planning.models import Configurations, transformers_config
from headstart.learning.planning.parameters import GpuParameters, Plan, PlanningParameters
from headstart.learning.planning.steps import Job

PARTS = ("weights", "gradients", "optimizer", "activations", "adapters", "cache")
_WHAT = {"model": "str", "method": "str", "precision": "str"}
_WHAT |= {"gradient_checkpointing": "bool", "batch": "int64"}
MEMORY_COLUMNS = {**_WHAT, "part": "str", "bytes": "int64", "formula_bytes": "Int64"}
GPU_PLAN_COLUMNS = {
    **_WHAT,
    **{"gpu": "str", "fits": "bool", "gpus_needed": "Int64", "largest_batch": "Int64"},
    **{"step_seconds": "float64", "flops": "float64", "peak_bytes": "int64"},
    **{"parameters": "int64", "trained_parameters": "int64"},
}


def make_plan(
    parameters: PlanningParameters,
    gpus: list[Gpu],
    configurations: Configurations,
    progress: Any = iter,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All plans.

    Args:
        parameters: what is planned.
        gpus: the catalogue.
        configurations: of the transformers models that name one.
        progress: wraps the jobs, for a progress bar.

    Returns:
        `MEMORY_COLUMNS`, one row a model, method, precision, batch and part, what is held when most
        is; and `GPU_PLAN_COLUMNS`, one row a model, method, precision, batch and GPU.

    Raises:
        HeadstartError: there is no such model, or a method does not go with one.
    """
    memory: list[dict[str, Any]] = []
    on_gpus: list[dict[str, Any]] = []
    for what, job, batches in progress(list(_jobs(parameters))):
        cost = measure_cost(job, min(batches), configurations)
        for batch in batches:
            row = {**what, "batch": batch}
            memory += [{**row, **part} for part in memory_by_part(cost, batch, configurations)]
            on_gpus += [{**row, **_on_gpu(cost, batch, gpu, parameters.gpus)} for gpu in gpus]
    return (
        pd.DataFrame(memory, columns=list(MEMORY_COLUMNS)).astype(MEMORY_COLUMNS),
        pd.DataFrame(on_gpus, columns=list(GPU_PLAN_COLUMNS)).astype(GPU_PLAN_COLUMNS),
    )


def memory_by_part(cost: Cost, batch: int, configurations: Configurations) -> list[dict[str, Any]]:
    """What is held when most is, by part, as traced and by formula.

    Args:
        cost: of a step.
        batch: examples.
        configurations: of the transformers models that name one.

    Returns:
        `part`, `bytes` and `formula_bytes` of each of `PARTS`. The formulas know no moment: theirs
        are the gradients once all are there, the activations before the first is freed.
    """
    job, traced = cost.job, cost.peak(batch)
    text = job.model.transformers is not None
    config = transformers_config(job.model, configurations) if text else None
    formulas = formulas_by_part(job, cost.sizes, config, batch)
    cache = min(float(formulas["cache"] or 0), traced["activations"])
    traced |= {"adapters": float(cost.sizes.adapter_bytes), "cache": cache}
    traced["weights"] -= traced["adapters"]
    traced["activations"] -= cache
    return [
        {"part": part, "bytes": round(traced[part]), "formula_bytes": formulas[part]}
        for part in PARTS
    ]


def _jobs(parameters: PlanningParameters) -> Iterator[tuple[dict[str, Any], Job, list[int]]]:
    for plan in parameters.plans:
        for model in plan.models:
            for method in plan.methods:
                for precision in plan.precisions:
                    job = Job(
                        parameters.models[model],
                        parameters.methods[method],
                        precision,
                        plan.gradient_checkpointing,
                    )
                    yield _named(plan, model, method, precision), job, plan.batches


def _named(plan: Plan, model: str, method: str, precision: str) -> dict[str, Any]:
    what = {"model": model, "method": method, "precision": precision}
    return {**what, "gradient_checkpointing": plan.gradient_checkpointing}


def _on_gpu(cost: Cost, batch: int, gpu: Gpu, parameters: GpuParameters) -> dict[str, Any]:
    usable = gpu.memory * parameters.usable_share
    needed = gpus_needed(cost, batch, usable, parameters.sharding, parameters.most)
    together = needed or 1

    def fits(examples: int) -> bool:
        return held_by_each(cost, examples, together, parameters.sharding) <= usable

    return {
        "gpu": gpu.name,
        "fits": needed == 1,
        "gpus_needed": needed,
        "largest_batch": largest(fits, parameters.most_examples),
        "step_seconds": step_seconds(
            cost,
            batch,
            gpu,
            efficiency=parameters.efficiency,
            launch=parameters.launch_seconds,
        ),
        "flops": cost.flops(batch),
        "peak_bytes": round(sum(cost.peak(batch).values())),
        "parameters": cost.sizes.parameters,
        "trained_parameters": cost.sizes.trained_parameters,
    }
