"""The fine-tuning stage."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.fine_tuning import nodes
from headstart.pipelines.fine_tuning.checks import create_image_check, image_plan


def create_pipeline(target: str, name: str, encoder: str) -> Pipeline:
    """Fine-tune a pretrained encoder on a target.

    Args:
        target: name of the target.
        name: of the encoder, for instance `imagenet`.
        encoder: catalog name of it.
    """
    return _pipeline(nodes.fine_tune, target, name, encoder)


def create_baseline_pipeline(target: str, name: str, encoder: str) -> Pipeline:
    """Train the architecture of an untrained encoder from random weights on a target.

    Args:
        target: name of the target.
        name: of the encoder, for instance `random`.
        encoder: catalog name of it.
    """
    return _pipeline(nodes.from_scratch, target, name, encoder)


def _pipeline(function: Callable[..., Any], target: str, name: str, encoder: str) -> Pipeline:
    here = f"fine_tuning.{target}.{name}"
    return Pipeline(
        [
            Node(
                for_target(function, target),
                inputs=[
                    f"ingestion.{target}.target_images",
                    f"ingestion.{target}.splits",
                    f"ingestion.{target}.draws",
                    encoder,
                    f"{here}.checkpoints",
                    "params:fine_tuning",
                    "params:compute",
                    image_plan(function.__name__, name),
                ],
                outputs=[f"{here}.scores", f"{here}.predictions", f"{here}.history"],
                name=function.__name__,
                namespace=here,
            ),
            create_image_check(function.__name__, name),
        ]
    )
