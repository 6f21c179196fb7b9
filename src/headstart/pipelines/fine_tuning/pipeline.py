"""The fine-tuning stage."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.fine_tuning import nodes


def create_pipeline(target: str, encoder: str) -> Pipeline:
    """Fine-tune a pretrained encoder on a target.

    Args:
        target: name of the target.
        encoder: name of the encoder, for instance `imagenet`.
    """
    return _pipeline(nodes.fine_tune, target, encoder)


def create_baseline_pipeline(target: str) -> Pipeline:
    """Train the architecture of the encoder `random` from random weights on a target.

    Args:
        target: name of the target.
    """
    return _pipeline(nodes.from_scratch, target, "random")


def _pipeline(function: Callable[..., Any], target: str, encoder: str) -> Pipeline:
    here = f"fine_tuning.{target}.{encoder}"
    return Pipeline(
        [
            Node(
                for_target(function, target),
                inputs=[
                    f"ingestion.{target}.target_images",
                    f"ingestion.{target}.splits",
                    f"ingestion.{target}.draws",
                    f"representation.{target}.{encoder}.encoder",
                    f"{here}.checkpoints",
                    "params:fine_tuning",
                    "params:compute",
                ],
                outputs=[f"{here}.scores", f"{here}.predictions", f"{here}.history"],
                name=function.__name__,
                namespace=here,
            )
        ]
    )
