"""Whether pretraining will fit: one check a task, whatever the source."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node

from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters
from headstart.learning.pretext.parameters import (
    NetworkParameters,
    PretextParameters,
    PretrainingParameters,
)
from headstart.learning.text.post_training_parameters import PostTrainingParameters
from headstart.learning.text.pretraining_parameters import (
    TextPretrainingParameters,
    TextPretrainingTasks,
)
from headstart.pipelines.binding import bind
from headstart.pipelines.checking import PRECISIONS, check_node, plan_training
from headstart.pipelines.ingestion.parameters import IngestionParameters


def create_pretext_check(task: str) -> Node:
    """The check of a pretext task.

    Args:
        task: its name.
    """
    function = bind(check_pretext, task=task)
    function.__annotations__["parameters"] = PretrainingParameters.model_fields[task].annotation
    return check_node(
        function,
        "pretraining",
        task,
        network="params:pretraining.network",
        parameters=f"params:pretraining.{task}",
        ingestion="params:ingestion",
    )


def create_text_check(task: str, start: str) -> Node:
    """The check of a language model that reads on, or learns to answer.

    Args:
        task: masked_language, next_word or post_training.
        start: name of the model that it begins with.
    """
    function = bind(check_text, task=task, network=start)
    function.__annotations__["parameters"] = TextPretrainingTasks.model_fields[task].annotation
    return check_node(
        function,
        "pretraining",
        task,
        configuration=f"pretrained.{start}.configuration",
        parameters=f"params:text_pretraining.{task}",
    )


def check_pretext(
    task: str,
    network: NetworkParameters,
    parameters: PretextParameters,
    ingestion: IngestionParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan a pretext task.

    Args:
        task: its name.
        network: that is trained.
        parameters: of the task.
        ingestion: how large images are stored.
        memory: of the devices, bytes.
        check: what is kept free.
        compute: of the machine.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`.

    Raises:
        HeadstartError: it will not fit.
    """
    from headstart.learning.planning.pretext_job import PretextJob
    from headstart.learning.pretext.registry import TASKS

    def job(image_size: int | None) -> PretextJob:
        return PretextJob(
            task,
            parameters.model_copy(update={"image_size": image_size}),
            network,
            ingestion.image_size,
            check.classes,
            PRECISIONS[compute.precision],
        )

    size = parameters.image_size or network.image_size
    half = (size or ingestion.image_size) // 2
    return plan_training(
        f"pretraining.{task}",
        job(size),
        parameters.training.batch_size,
        facts={"track": "images", "network": "pretext", "method": task},
        memory=memory,
        check=check,
        compute=compute,
        divisible=TASKS[task].divisible,
        cheaper={f"an image_size of {half}": job(half)},
    )


def check_text(
    task: str,
    network: str,
    configuration: dict[str, Any],
    parameters: TextPretrainingParameters | PostTrainingParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan a language model that reads on, or learns to answer.

    Args:
        task: masked_language, next_word or post_training.
        network: name of the model.
        configuration: of the model.
        parameters: of the task.
        memory: of the devices, bytes.
        check: what is kept free, tokens of a prompt.
        compute: of the machine.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`. Post-training is planned as if every token of a
        prompt were predicted, not the answer's alone: more than it takes.

    Raises:
        HeadstartError: it will not fit.
    """
    from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
    from headstart.learning.planning.steps import Job

    lora = PlannedMethod(kind="lora")
    if isinstance(parameters, PostTrainingParameters):
        tokens = parameters.prompt.most_tokens + check.prompt_tokens
        adapters = parameters.adapters
        method = (
            PlannedMethod(kind="full")
            if adapters is None
            else lora.model_copy(update={"rank": adapters.rank, "targets": adapters.targets})
        )
    else:
        tokens = parameters.block
        method = PlannedMethod(kind="full")
        if task == "masked_language":
            share = parameters.masked_share
            method = PlannedMethod(kind="masked_language", masked_share=share)
    model = PlannedModel(
        transformers=configuration, causal=task != "masked_language", tokens=tokens
    )
    precision = PRECISIONS[compute.precision]
    cheaper = {}
    if task == "post_training" and method.kind == "full":
        cheaper = {
            "adapters (text_pretraining.post_training.adapters)": Job(model, lora, precision)
        }
    elif task != "post_training":
        half = model.model_copy(update={"tokens": max(2, tokens // 2)})
        cheaper = {f"a block of {half.tokens}": Job(half, method, precision)}
    return plan_training(
        f"text_pretraining.{task}",
        Job(model, method, precision),
        parameters.training.batch_size,
        facts={"track": "text", "network": network, "method": task},
        memory=memory,
        check=check,
        compute=compute,
        cheaper=cheaper,
    )
