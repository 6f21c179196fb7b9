"""Whether meta-training will fit: one check for each family and method."""

import pandas as pd
from kedro.pipeline import Node

from headstart.errors import HeadstartError
from headstart.experiment.tracks import SINUSOIDS
from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters, PlannedMethod, PlannedModel
from headstart.pipelines.binding import bind
from headstart.pipelines.checking import (
    PRECISIONS,
    check_node,
    plan_by_formula,
    plan_of,
    plan_table,
    plan_training,
    usable_memory,
)
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters
from headstart.pipelines.meta_learning.parameters import MetaLearningParameters

STAGE = "meta_learning"


def create_check(family: str, method: str) -> Node:
    """The check of a method on a family of tasks.

    Args:
        family: its name.
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
    """
    parameters = {"parameters": "params:meta_learning"}
    if family == SINUSOIDS:
        return check_node(
            bind(check_sinusoids, method=method), STAGE, f"{family}_{method}", **parameters
        )
    return check_node(
        bind(check_classes, family=family, method=method),
        STAGE,
        f"{family}_{method}",
        **parameters,
        ingestion="params:few_shot_ingestion",
    )


def plan_name(family: str, method: str) -> str:
    """Catalog name of the plan of a method on a family."""
    return plan_of(STAGE, f"{family}_{method}")


def check_classes(
    family: str,
    method: str,
    parameters: MetaLearningParameters,
    ingestion: FewShotIngestionParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan the meta-training on classes with the most shots.

    Args:
        family: its name.
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        parameters: of the stage.
        ingestion: how the images are stored.
        memory: of the devices, bytes.
        check: what is kept free, classes of pooled pretraining.
        compute: of the machine.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`; no row for a method that is not meta-trained.
        A method of first order is planned as one of second order: more than it takes.

    Raises:
        HeadstartError: it will not fit.
    """
    block = parameters.classes.for_family(family)
    own = getattr(block.methods, method)
    if not hasattr(own, "training"):
        return plan_table([])
    from headstart.learning.planning.steps import Job

    images = block.ways * (max(block.shots) + block.training_queries)  # of a task
    tasks, steps = own.training.batch_size, getattr(own, "steps", 0)
    pooled = method == "pooled_pretraining"
    planned, batch = PlannedMethod(kind="full"), tasks if pooled else tasks * images
    if steps:  # a support and a query set alike
        planned = PlannedMethod(kind="maml", inner_steps=steps, tasks=tasks)
        batch = -(-images // 2)
    model = PlannedModel(
        network="conv4",
        image_size=ingestion.image_size,
        channels=1 if ingestion.gray else 3,
        filters=block.network.filters,
        downsampling=block.network.downsampling,
        classes=check.classes if pooled else block.ways,
    )
    precision = PRECISIONS[compute.precision]
    half = model.model_copy(update={"filters": max(1, model.filters // 2)})
    fewer = planned.model_copy(update={"tasks": max(1, planned.tasks // 2)})
    return plan_training(
        f"meta_learning.classes.methods.{method}, {family}",
        Job(model, planned, precision),
        batch,
        facts={
            **{"track": "few_shot", "target": f"{family}.{block.ways}_way"},
            **{"network": "conv4", "method": method},
        },
        memory=memory,
        check=check,
        compute=compute.model_copy(update={"gradient_accumulation": 1}),
        side_by_side=True,
        cheaper={
            f"{half.filters} filters": Job(half, planned, precision),
            **({f"a meta-batch of {fewer.tasks}": Job(model, fewer, precision)} if steps else {}),
        },
    )


def check_sinusoids(
    method: str,
    parameters: MetaLearningParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan the meta-training on sinusoids, by a formula.

    Args:
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        parameters: of the stage.
        memory: of the devices, bytes.
        check: what is kept free.
        compute: of the machine.

    Returns:
        As `check_classes`, without operations.

    Raises:
        HeadstartError: it will not fit.
    """
    block = parameters.sinusoids
    own = getattr(block.methods, method)
    if not check.enabled or not hasattr(own, "training"):
        return plan_table([])
    from headstart.learning.meta_learning.step_memory import step_memory
    from headstart.learning.parallel_fits import count_workers

    tasks = own.training.batch_size
    points = max(block.shots) + block.training_queries
    steps = getattr(own, "steps", 0)
    parts = step_memory(block.network.hidden, tasks=tasks, points=points, steps=steps)
    peak = sum(parts.values())
    usable = usable_memory(memory, check, compute) / count_workers(compute)
    name = f"meta_learning.sinusoids.methods.{method}"
    if peak > usable:
        raise HeadstartError(
            f"{name}: a step on {tasks} tasks needs {peak / 1e9:.2f} GB of memory and there are "
            f"{usable / 1e9:.2f} GB; take a smaller training.batch_size, fewer shots, or narrower "
            "hidden layers."
        )
    facts = {"track": "few_shot", "target": SINUSOIDS, "network": "dense", "method": method}
    return plan_by_formula(name, tasks, parts, facts, compute.precision)
