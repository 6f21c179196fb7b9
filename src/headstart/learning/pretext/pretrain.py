"""Pretraining: an encoder learns a pretext task on the source, and is kept without the head.

Whatever the task, the same network starts from the same random weights, sees the same training
images, and goes through the one training loop. Nobody cares about the pretext score itself; it is
measured, on held-out images of the source, to see whether the task was learned at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.learning.batch_norm import precise_batch_norm
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import (
    Encoder,
    choose_device,
    preprocess,
    random_network,
    to_network,
)
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.pretext.parameters import (
    HeldOutParameters,
    NetworkParameters,
    PretextParameters,
)
from headstart.learning.pretext.registry import TASKS
from headstart.learning.pretext.supervised import Supervised
from headstart.learning.pretext.task import Batch, CannotLearnError, Example, PretextTask, Source
from headstart.learning.schedule import steps_per_epoch
from headstart.learning.training import TrainingData, train

SCORE_COLUMNS = {
    **{"source": "str", "task": "str", "score": "str", "value": "float64", "chance": "float64"},
    **{"loss": "float64", "n_train": "Int64", "n_heldout": "Int64", "steps": "Int64"},
    **{"epochs": "float64", "image_size": "Int64", "architecture": "str"},
    **{"total_parameters": "Int64", "train_seconds": "float64", "peak_memory_bytes": "Int64"},
    "left_out": "str",
}
HISTORY_COLUMNS = ["source", "task", "step", "epoch", "name", "value"]


@dataclass(frozen=True)
class Pretrained:
    """What one pretraining gives.

    Attributes:
        encoder: without the head; where the task could not run, one that is `left_out`.
        scores: one row: how well the task was learned, and what it cost (`SCORE_COLUMNS`).
        history: tidy training history (`HISTORY_COLUMNS`).
        examples: what the task saw and said of some held-out images.
    """

    encoder: Encoder
    scores: pd.DataFrame
    history: pd.DataFrame
    examples: list[Example]


def pretrain(
    name: str,
    source: Source,
    *,
    source_name: str,
    network: NetworkParameters,
    parameters: PretextParameters,
    held_out: HeldOutParameters,
    batch_norm_rows: int,
    compute: ComputeParameters,
    checkpoint: CheckpointFolder | None = None,
    made_of: Sequence[Any] = (),
) -> Pretrained:
    """Train an encoder on a pretext task.

    Args:
        name: of the task, a key of `headstart.learning.pretext.registry.TASKS`.
        source: what is learned from; its labels are given to `supervised` alone.
        source_name: for the tables.
        network: the encoder's architecture and initial weights.
        parameters: of the task.
        held_out: which images are kept for the score.
        batch_norm_rows: images that batch norm's statistics are computed over in the end. They are
            whole images as the encoder will be fed, which tiles, masked images and crops are not.
        compute: of the machine.
        checkpoint: where to save the training under way, and to go on from.
        made_of: fingerprints of the code and of the images, for the checkpoint's signature.

    Raises:
        HeadstartError: as `headstart.learning.training.train`.
    """
    started = perf_counter()
    initial = random_network(network.architecture, network.image_size, network.seed)
    facts = {"source": source_name, "task": name, "architecture": network.architecture}
    try:
        train_rows, test_rows = hold_out(source.rows, held_out)
        seen = Source(source.images, train_rows, source.labels if name == "supervised" else None)
        size = parameters.image_size or network.image_size
        # Colors are taken away from what the encoder is fed, not from what the task is shown.
        fed = {**initial.config, "name": name}
        fed |= {"lightness": True} if TASKS[name].lightness else {}
        task = TASKS[name](parameters, {**fed, "image_size": size}, seen)
    except CannotLearnError as error:
        return _left_out(facts, str(error))
    device = choose_device(compute)
    encoder = to_network(initial)
    with torch.no_grad():
        one = preprocess(torch.from_numpy(np.array(source.images[:1])), fed)
        dimension = encoder.eval()(one).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(parameters.seed)
        model = task.build(encoder, dimension)
    model.to(device).to(memory_format=torch.channels_last)
    labels = task.numbers(seen.labels) if isinstance(task, Supervised) else None  # type: ignore[arg-type]

    def batch(rows: np.ndarray, generator: torch.Generator) -> Batch:
        images = torch.from_numpy(np.array(source.images[rows])).to(generator.device)
        classes = None if labels is None else torch.from_numpy(labels[rows]).to(images.device)
        return task.batch(images, classes, generator)

    with PeakMemory() as memory:
        result = train(
            model,
            task.loss,
            TrainingData(len(train_rows), lambda picked, g: batch(train_rows[picked], g)),
            parameters=parameters.training,
            compute=compute,
            seed=parameters.seed,
            evaluate=lambda m: _held_out_score(task, m, test_rows, batch, held_out, device),
            divisible=task.divisible,
            checkpoint=checkpoint,
            signature=make_signature(
                *(name, initial.config, parameters, held_out, train_rows, labels),
                *(compute.deciding(), made_of),
            ),
            description=f"{source_name}: pretrain {name}",
        )
    model.eval()
    with torch.no_grad():
        shown = torch.from_numpy(np.array(source.images[test_rows[: held_out.examples]])).to(device)
        generator = torch.Generator(device).manual_seed(held_out.seed)
        examples = task.examples(model, shown, generator) if len(shown) else []
    trained = model.encoder
    assert isinstance(trained, nn.Module)
    precise_batch_norm(
        trained,
        lambda rows: preprocess(torch.from_numpy(np.array(source.images[rows])).to(device), fed),
        train_rows,
        most_rows=batch_norm_rows,
        batch_size=parameters.training.batch_size,
    )
    history = result.history.replace({"name": {"score": "train_score"}})
    last = history.drop_duplicates("name", keep="last").set_index("name")["value"]
    kept = replace(
        initial,
        config={**fed, "source": source_name, "source_images": len(train_rows)},
        tensors={key: t.detach().cpu().numpy().copy() for key, t in trained.state_dict().items()},
    )
    row = {
        **facts,
        **{"score": task.score, "value": last["heldout_score"], "loss": last["heldout_loss"]},
        "chance": float(np.mean([task.chance(len(b)) for b in _batches(test_rows, held_out)])),
        **{"n_train": len(train_rows), "n_heldout": len(test_rows), "steps": result.steps},
        "epochs": result.steps / steps_per_epoch(len(train_rows), parameters.training.batch_size),
        "image_size": size or source.images.shape[1],
        "total_parameters": kept.parameters,
        "train_seconds": perf_counter() - started + result.seconds_before,
        "peak_memory_bytes": memory.bytes,
    }
    return Pretrained(kept, _score_table(row), _history_table(facts, history), examples)


def hold_out(rows: np.ndarray, parameters: HeldOutParameters) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, in order, and rows to be scored on.

    Args:
        rows: of the source.
        parameters: how many are held out.

    Raises:
        CannotLearnError: there are too few rows for both.
    """
    count = min(max(2, round(parameters.share * len(rows))), parameters.most)
    if len(rows) < count + 2:
        raise CannotLearnError(
            f"the source has {len(rows)} image{'s' * (len(rows) != 1)}, too few to learn from"
        )
    order = np.random.default_rng(parameters.seed).permutation(rows)
    return np.sort(order[count:]), order[:count]


def _held_out_score(
    task: PretextTask[Any],
    model: nn.Module,
    rows: np.ndarray,
    batch: Any,
    parameters: HeldOutParameters,
    device: torch.device,
) -> dict[str, float]:
    """Mean loss and score, by the same random numbers at every evaluation."""
    sums = {"heldout_loss": 0.0, "heldout_score": 0.0}
    for number, part in enumerate(_batches(rows, parameters)):
        generator = torch.Generator(device).manual_seed(number)
        loss, extras = task.loss(model, batch(part, generator))
        sums["heldout_loss"] += len(part) / len(rows) * loss.item()
        sums["heldout_score"] += len(part) / len(rows) * extras["score"].item()
    return sums


def _batches(rows: np.ndarray, parameters: HeldOutParameters) -> list[np.ndarray]:
    return np.array_split(rows, max(1, round(len(rows) / parameters.batch_size)))


def _left_out(facts: dict[str, Any], reason: str) -> Pretrained:
    encoder = Encoder(
        {"name": facts["task"], "kind": "left_out", "left_out": reason, "image_size": None}, {}
    )
    empty = pd.DataFrame(columns=["step", "epoch", "name", "value"])
    return Pretrained(
        encoder, _score_table({**facts, "left_out": reason}), _history_table(facts, empty), []
    )


def _score_table(row: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([row], columns=list(SCORE_COLUMNS)).astype(SCORE_COLUMNS)


def _history_table(facts: dict[str, Any], history: pd.DataFrame) -> pd.DataFrame:
    table = history.assign(source=facts["source"], task=facts["task"])[HISTORY_COLUMNS]
    return table.astype(
        {"source": "str", "task": "str", "name": "str", "step": "int64", "epoch": "int64"}
        | {"value": "float64"}
    )
