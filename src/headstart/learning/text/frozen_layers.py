"""The lowest layers of an encoder, where a method leaves them as they are.

    f(x) = f_trained(f_frozen(x)),   f_frozen(x_i) computed once for each text i

The frozen layers give the same states in every epoch, so these are kept and the layers above start
from them: neither a forward nor a backward pass goes through the frozen ones again. They run
without dropout, kept or not, so that only rounding tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask

from headstart.learning.text.language_model import body_of, pad, token_batches

# Encoders that are embeddings and then one layer after another, by `config.model_type`.
FAMILIES = ("bert", "camembert", "roberta", "xlm-roberta")


def count_frozen_layers(network: Any) -> int:
    """How many of the lowest layers have no weight that is trained, nor have the embeddings.

    Args:
        network: encoder or causal model, PEFT's adapters in it or not.

    Returns:
        0 also for a model that is of none of `FAMILIES`.
    """
    body = body_of(network)
    if body.config.model_type not in FAMILIES or body.config.is_decoder:
        return 0
    if _is_trained(body.embeddings):
        return 0
    trained = [number for number, layer in enumerate(body.encoder.layer) if _is_trained(layer)]
    return trained[0] if trained else len(body.encoder.layer)


def frozen_parts(network: Any, count: int) -> list[nn.Module]:
    """Embeddings and the lowest `count` layers; nothing where no layer is frozen."""
    body = body_of(network)
    return [body.embeddings, *body.encoder.layer[:count]] if count else []


@torch.no_grad()
def run_frozen_layers(
    network: Any,
    ids: Sequence[np.ndarray],
    *,
    count: int,
    padding: int,
    batch_tokens: int,
    device: torch.device,
) -> list[np.ndarray]:
    """What the frozen layers make of texts.

    Args:
        network: of one of `FAMILIES`, on `device`.
        ids: token numbers of each text.
        count: of frozen layers.
        padding: token number that fills up.
        batch_tokens: tokens a batch.
        device: where it is computed.

    Returns:
        States of each text's tokens, float32, shape (length, D).
    """
    body = body_of(network)
    for part in frozen_parts(network, count):
        part.eval()
    kept: list[np.ndarray] = [np.empty(0)] * len(ids)
    for rows in token_batches([len(one) for one in ids], batch_tokens):
        tokens, mask = (x.to(device) for x in pad([ids[row] for row in rows], padding))
        states = _layers(body, body.embeddings(input_ids=tokens), mask, 0, count)
        for row, one in zip(rows, states.float().cpu().numpy(), strict=True):
            kept[row] = one[: len(ids[row])].copy()
    return kept


def run_trained_layers(
    network: Any, states: torch.Tensor, mask: torch.Tensor, count: int
) -> torch.Tensor:
    """The last layer's states (n, length, D), from those of the frozen layers.

    Args:
        network: of one of `FAMILIES`.
        states: of `run_frozen_layers`, padded, shape (n, length, D).
        mask: 1 where there is a token, shape (n, length).
        count: of frozen layers.
    """
    body = body_of(network)
    return _layers(body, states, mask, count, len(body.encoder.layer))


def _layers(
    body: Any, states: torch.Tensor, mask: torch.Tensor, first: int, end: int
) -> torch.Tensor:
    seen = create_bidirectional_mask(config=body.config, inputs_embeds=states, attention_mask=mask)
    for layer in body.encoder.layer[first:end]:
        states = layer(states, seen)
    return states


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
