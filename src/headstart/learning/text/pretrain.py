"""Pretraining on text without labels, from random weights or on from pretrained ones.

The latter is domain-adaptive pretraining (Gururangan et al. 2020): a language model reads on in the
target's domain before it is adapted to the task. Whether the domain was learned is measured by the
perplexity of held-out documents before and after,

    perplexity = exp(L)

with L the mean loss a token, by the same masks both times. A new head of `masked_language` knows
nothing: there the perplexity before tells about the head as much as about the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.schedule import steps_per_epoch
from headstart.learning.text.corpus import Blocks, make_blocks
from headstart.learning.text.masked_language import Batch, MaskedLanguage
from headstart.learning.text.next_word import NextWord
from headstart.learning.text.pretraining_parameters import TextPretrainingParameters
from headstart.learning.training import TrainingData, train

TextTask = Literal["masked_language", "next_word"]


@dataclass(frozen=True)
class PretrainedText:
    """What one pretraining on text gives.

    Attributes:
        network: the encoder without the head, or the causal model; in evaluation mode, on the CPU.
        scores: "held_out_loss_before" and "held_out_loss_after", nats a token;
            "perplexity_before" and "perplexity_after"; "held_out_tokens", what these are means
            over; "tokens_seen" in training, again in each epoch; "seconds", those before
            interruptions included.
        history: tidy: step, epoch, name ("train_loss", "learning_rate", "held_out_loss"), value.
    """

    network: nn.Module
    scores: dict[str, float]
    history: pd.DataFrame


def pretrain_text(
    task: TextTask,
    network: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    parameters: TextPretrainingParameters,
    compute: ComputeParameters,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
) -> PretrainedText:
    """Train a language model on texts; the last weights are kept.

    Args:
        task: "masked_language" for an encoder, "next_word" for a causal model.
        network: of the library transformers, with random or pretrained weights; stays as it is.
        tokenizer: the network's.
        texts: the documents.
        parameters: of the pretraining.
        compute: of the machine.
        checkpoint: where to save the training under way, and to go on from.
        signature: of the network's weights, the tokenizer and the code; what else the training is
            made of is added here.

    Raises:
        HeadstartError: the texts are too few; network, tokenizer, task and block do not go
            together; as `headstart.learning.training.train`.
    """
    started = perf_counter()
    objective: MaskedLanguage | NextWord = (
        MaskedLanguage(tokenizer, parameters.masked_share)
        if task == "masked_language"
        else NextWord()
    )
    _check(task, network, tokenizer, parameters.block)
    blocks, held_out = make_blocks(
        tokenizer,
        texts,
        block=parameters.block,
        held_out_share=parameters.held_out_share,
        seed=parameters.seed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(parameters.seed)
        model = objective.build(deepcopy(network).requires_grad_(True))
    device = choose_device(compute)

    def batch(of: Blocks, rows: np.ndarray, generator: torch.Generator) -> Batch:
        ids = torch.from_numpy(of.ids[rows].astype(np.int64)).to(generator.device)
        attention = torch.from_numpy(of.attention()).to(generator.device).expand(len(ids), -1)
        return objective.batch(ids, attention, generator)

    # Drawn once, on the CPU: the same masks at every evaluation, on every device.
    generator = torch.Generator().manual_seed(parameters.seed)
    asked = batch(held_out, np.arange(len(held_out.ids)), generator)
    if objective.counted(asked) == 0:
        raise HeadstartError(
            f"{task}: there is no token to be predicted in the held-out documents: all of them are "
            "special or unknown to the tokenizer. Give more texts, or the tokenizer that goes with "
            "them."
        )
    training = parameters.training
    # What fits into memory with gradients does so without.
    at_once = min(compute.batch_size, -(-training.batch_size // compute.gradient_accumulation))

    def held_out_loss(model: nn.Module) -> dict[str, float]:
        n, total = len(held_out.ids), 0.0
        for first in range(0, n, at_once):
            part = {k: t[first : first + at_once].to(device) for k, t in asked.items()}
            total += len(part["ids"]) / n * objective.loss(model, part).item()
        return {"held_out_loss": total}

    model.to(device).eval()
    with torch.no_grad():
        before = held_out_loss(model)["held_out_loss"]
    result = train(
        model,
        objective.loss,
        TrainingData(len(blocks.ids), lambda rows, g: batch(blocks, rows, g)),
        parameters=training,
        compute=compute,
        seed=parameters.seed,
        evaluate=held_out_loss,
        checkpoint=checkpoint,
        signature=make_signature(
            *(task, parameters, compute.deciding(), blocks, held_out, signature)
        ),
        description=f"pretrain {task}",
    )
    history = result.history
    after = float(history.loc[history["name"] == "held_out_loss", "value"].iloc[-1])
    scores = {
        **{"held_out_loss_before": before, "held_out_loss_after": after},
        **{"perplexity_before": _perplexity(before), "perplexity_after": _perplexity(after)},
        "held_out_tokens": float(objective.counted(asked)),
        "tokens_seen": float(tokens_seen(blocks, result.steps, training.batch_size)),
        "seconds": perf_counter() - started + result.seconds_before,
    }
    return PretrainedText(objective.trained(model).cpu().eval(), scores, history)


def tokens_seen(blocks: Blocks, steps: int, batch_size: int) -> int:
    """Tokens of the blocks that a training has seen, each as often as it was seen.

    Args:
        blocks: that are learned from.
        steps: done.
        batch_size: blocks a step, at most.
    """
    n = len(blocks.ids)
    epoch_steps = steps_per_epoch(n, batch_size)
    epochs, rest = divmod(steps, epoch_steps)
    # As the loop cuts an epoch into even batches.
    return (epochs * n + n * rest // epoch_steps) * blocks.length


def _perplexity(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:  # an untrained head on large embeddings
        return math.inf


def _check(task: TextTask, network: Any, tokenizer: Any, block: int) -> None:
    rows = len(network.get_input_embeddings().weight)
    if len(tokenizer) > rows:
        raise HeadstartError(
            f"{task}: the tokenizer has {len(tokenizer)} tokens and the network embeddings for "
            f"{rows}: they do not go together."
        )
    positions = getattr(network.config, "max_position_embeddings", None)
    if positions is not None and block > positions:
        raise HeadstartError(
            f"{task}: a block of {block} tokens is longer than the {positions} that the network "
            f"can read; set block to {positions} or less."
        )
