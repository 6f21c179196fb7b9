"""Whether fine-tuning will fit: one check a method and network, whatever the target."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from kedro.pipeline import Node

from headstart.experiment.tracks import network_of
from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters, Kind
from headstart.learning.pretext.parameters import NetworkParameters
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.pipelines.binding import bind
from headstart.pipelines.checking import PRECISIONS, check_node, plan_of, plan_training
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters
from headstart.pipelines.ingestion.parameters import IngestionParameters
from headstart.pipelines.representation.parameters import RepresentationParameters

# Network -> the parameters that say which it is. Of the encoders those of `imagenet` have one, all
# others that of the pretext tasks.
_NETWORKS = {"pretext": "pretraining.network", "imagenet": "representation"}
_KINDS: dict[str, Kind] = {
    "fine_tune": "full",
    "from_scratch": "full",
    "lora": "lora",
    "bitfit": "bitfit",
}


def image_plan(method: str, encoder: str) -> str:
    """Catalog name of the plan of a method on images.

    Args:
        method: fine_tune or from_scratch.
        encoder: name of what it starts from.
    """
    return plan_of("fine_tuning", f"{method}_{network_of(encoder)}")


def create_image_check(method: str, encoder: str) -> Node:
    """The check of a method on images.

    Args:
        method: fine_tune or from_scratch.
        encoder: name of what it starts from.
    """
    network = network_of(encoder)
    function = bind(check_images, method=method, network=network)
    kind = RepresentationParameters if network == "imagenet" else NetworkParameters
    function.__annotations__["architecture"] = kind
    return check_node(
        function,
        "fine_tuning",
        f"{method}_{network}",
        architecture=f"params:{_NETWORKS[network]}",
        ingestion="params:ingestion",
        parameters="params:fine_tuning",
    )


def create_text_check(stage: str, method: str, model: str) -> Node:
    """The check of a method on texts.

    Args:
        stage: fine_tuning or lora.
        method: fine_tune, from_scratch, lora or bitfit; or ranks: lora with the largest of them.
        model: name of the pretrained encoder.
    """
    own = "lora" if method == "ranks" else method
    inputs = {
        "configuration": f"pretrained.{model}.configuration",
        "parameters": f"params:text_fine_tuning.{own}",
    }
    inputs |= {"adapters": "params:text_fine_tuning.adapters"} if own == "lora" else {}
    inputs |= {"ranks": "params:text_fine_tuning.ranks"} if method == "ranks" else {}
    return check_node(
        bind(check_texts, method=own, network=model), stage, f"text_{method}", **inputs
    )


def check_images(
    method: str,
    network: str,
    architecture: NetworkParameters | RepresentationParameters,
    ingestion: IngestionParameters,
    parameters: FineTuningParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """Plan the training of all weights of a network on images.

    Args:
        method: fine_tune or from_scratch.
        network: what the report calls it.
        architecture: which it is.
        ingestion: how large images are stored.
        parameters: of the stage.
        memory: of the devices, bytes.
        check: what is kept free, number of classes.
        compute: of the machine.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`.

    Raises:
        HeadstartError: it will not fit.
    """
    from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
    from headstart.learning.planning.steps import Job

    own = (
        architecture.imagenet
        if isinstance(architecture, RepresentationParameters)
        else architecture
    )
    adaptation = getattr(parameters, method)
    size = adaptation.image_size or own.image_size or ingestion.image_size
    model = PlannedModel(network=own.architecture, image_size=size, classes=check.classes)
    job = Job(model, PlannedMethod(kind="full"), PRECISIONS[compute.precision])
    half = model.model_copy(update={"image_size": max(1, size // 2)})
    return plan_training(
        f"fine_tuning.{method}",
        job,
        adaptation.training.batch_size,
        facts={"track": "images", "network": network, "method": method},
        memory=memory,
        check=check,
        compute=compute,
        side_by_side=True,
        cheaper={
            f"an image_size of {half.image_size}": replace(job, model=half),
            "linear_probe": replace(job, method=PlannedMethod(kind="frozen")),
        },
    )


def check_texts(
    method: str,
    network: str,
    configuration: dict[str, Any],
    parameters: TextAdaptationParameters,
    memory: dict[str, int],
    check: CheckParameters,
    compute: ComputeParameters,
    adapters: LoraParameters | None = None,
    ranks: Sequence[int] = (),
) -> pd.DataFrame:
    """Plan the adaptation of a language model, on texts of the greatest length.

    Args:
        method: fine_tune, from_scratch, lora or bitfit.
        network: name of the model.
        configuration: of the model.
        parameters: of the training.
        memory: of the devices, bytes.
        check: what is kept free, number of classes.
        compute: of the machine.
        adapters: of lora.
        ranks: that are tried instead of the adapters' own.

    Returns:
        `headstart.pipelines.checking.PLAN_COLUMNS`.

    Raises:
        HeadstartError: it will not fit.
    """
    from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
    from headstart.learning.planning.steps import Job

    model = PlannedModel(
        transformers=configuration, tokens=parameters.most_tokens, classes=check.classes
    )
    planned = PlannedMethod(kind=_KINDS[method])
    if adapters is not None:
        rank = max([adapters.rank, *ranks])
        planned = PlannedMethod(kind="lora", rank=rank, targets=adapters.targets)
    job = Job(model, planned, PRECISIONS[compute.precision])
    others = {"lora": "lora", "bitfit": "bitfit", "linear_probe": "frozen"}
    return plan_training(
        f"text_fine_tuning.{method}",
        job,
        parameters.training.batch_size,
        facts={"track": "text", "network": network, "method": "ranks" if ranks else method},
        memory=memory,
        check=check,
        compute=compute,
        side_by_side=True,
        cheaper={
            name: replace(job, method=PlannedMethod(kind=kind))
            for name, kind in others.items()
            if name != method
        },
    )
