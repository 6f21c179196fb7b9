"""Nodes of the pretraining stage."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageStore
from headstart.learning.pretext.parameters import (
    HeldOutParameters,
    NetworkParameters,
    PretextParameters,
)


def pretrain(
    task: str,
    source: str,
    own_labels: bool,
    images: ImageStore,
    rows: pd.DataFrame,
    checkpoints: Any,
    network: NetworkParameters,
    held_out: HeldOutParameters,
    batch_norm_rows: int,
    parameters: PretextParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> tuple[Any, pd.DataFrame, pd.DataFrame, list[Any]]:
    """Train an encoder on one pretext task.

    Args:
        task: its name.
        source: name of the source.
        own_labels: whether labels of these images are the source's; those of a target's images
            are not, and nobody sees them here.
        images: the source's images.
        rows: column row: those of them to learn from; no test image is among them.
        checkpoints: where the training is kept (`headstart.learning.checkpoints.CheckpointFolder`).
        network: architecture and initial weights.
        held_out: images that the task is scored on.
        batch_norm_rows: images that batch norm's statistics are computed over in the end.
        parameters: of the task.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        The encoder (`headstart.learning.encoders.Encoder`), scores and history
        (`headstart.learning.pretext.pretrain`), and what was seen of some images
        (`headstart.learning.pretext.task.Examples`, in a list of one).
    """
    import logging

    from headstart.fingerprint import code_fingerprint
    from headstart.learning.pretext import pretrain as pretraining
    from headstart.learning.pretext.task import Examples, Source

    labelled = own_labels and images.index["label"].notna().any()
    result = pretraining.pretrain(
        task,
        Source(
            images.images,
            rows["row"].to_numpy(),
            images.index["label"].to_numpy() if labelled else None,
        ),
        source_name=source,
        network=network,
        parameters=parameters,
        held_out=held_out,
        batch_norm_rows=batch_norm_rows,
        compute=compute,
        checkpoint=checkpoints,
        made_of=[code_fingerprint(pretraining.pretrain), images.index["digest"].tolist()],
    )
    if result.encoder.left_out:
        logging.getLogger(__name__).warning(
            "%s cannot be learned on %s and is left out of the run: %s.",
            *(task, source, result.encoder.left_out),
        )
    seen = Examples(source, task, result.examples)
    return result.encoder, result.scores, result.history, [seen]


def join_examples(*examples: list[Any]) -> list[Any]:
    """What all tasks saw and said."""
    return [one for some in examples for one in some]
