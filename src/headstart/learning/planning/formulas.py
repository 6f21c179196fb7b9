"""Closed formulas for memory, beside what is traced: a cross-check that fits on a page.

Of P parameters, P' of them trained, at w bytes a number:

    weights     w P           (4-bit: P / 2 + scales)
    gradients   w P'
    optimizer   0, w P' or 2 w P'     (sgd, momentum, adam; see `optimizers`)
    cache       2 w L b s h_kv        (keys and values of all L layers; h_kv = heads x their width)

and of a transformer that is trained in full, with b texts of s tokens, width h, feed-forward width
f, a heads and V words (after Korthikanti et al. 2022, without dropout):

    activations w L b s (8 h + 2 f) + 3 * 4 b s V           fused attention
                + w L a b s^2 * 2                           where all scores are stored
    recomputed  w L b s h + (those of one layer) + 3 * 4 b s V

The last term is the logits, their logarithms and the gradient in fp32, of a model that predicts
words. A gated feed-forward layer (SwiGLU) keeps 4 f.
"""

from __future__ import annotations

from typing import Any

from headstart.learning.planning.four_bit import stored_bytes
from headstart.learning.planning.optimizers import state_bytes
from headstart.learning.planning.sizes import Sizes
from headstart.learning.planning.steps import DTYPES, Job

_ADAPTER_BYTES = 4  # PEFT keeps adapters in fp32, whatever the weights are
_WORD_COPIES = 3 * 4  # logits, log-probabilities, gradient; fp32


def transformer_activations(
    config: Any, *, batch: int, tokens: int, itemsize: int, causal: bool, recomputed: bool
) -> int:
    """Bytes of activations at the start of the backward pass.

    Args:
        config: of the library transformers.
        batch: texts.
        tokens: of each.
        itemsize: bytes of an activation.
        causal: whether words are predicted.
        recomputed: gradient checkpointing.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    numbers = 8 * width + _stored_inner(config) * _inner_width(config)
    if config._attn_implementation == "eager":
        numbers += 2 * config.num_attention_heads * tokens
    kept = layers * width + numbers if recomputed else layers * numbers
    words = _WORD_COPIES * config.vocab_size if causal else 0
    return batch * tokens * (itemsize * kept + words)


def cache_bytes(config: Any, *, batch: int, tokens: int, itemsize: int) -> int:
    """Bytes of the keys and values of all layers.

    Args:
        config: of the library transformers.
        batch: texts.
        tokens: of each, read and written.
        itemsize: bytes of a number.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * itemsize * config.num_hidden_layers * batch * tokens * heads * width


def formulas_by_part(
    job: Job, sizes: Sizes, config: Any | None, batch: int
) -> dict[str, int | None]:
    """Every part by its formula, bytes; None where there is no formula.

    Args:
        job: what is planned.
        sizes: of the model.
        config: of the library transformers; None of a model of images.
        batch: examples.
    """
    model, method = job.model, job.method
    stored = DTYPES[job.precision].itemsize
    computed = 2 if job.precision != "fp32" else 4
    trained = _ADAPTER_BYTES if sizes.adapter_parameters else stored
    weights = stored * (sizes.parameters + sizes.head)
    if method.kind == "qlora":
        inside = sizes.parameters - sizes.outside
        weights += stored_bytes(inside) - stored * inside
    parts: dict[str, int | None] = {
        "weights": weights,
        "gradients": trained * sizes.trained_parameters,
        "optimizer": state_bytes(method.optimizer, sizes.trained, trained),
        "activations": None,
        "adapters": _ADAPTER_BYTES * sizes.adapter_parameters,
        "cache": 0,
    }
    if config is not None:
        shape = {"batch": batch, "tokens": model.tokens, "itemsize": computed}
        if method.kind == "full":
            parts["activations"] = transformer_activations(
                config, **shape, causal=model.causal, recomputed=job.gradient_checkpointing
            )
        if method.kind == "inference" and model.causal:
            parts["cache"] = cache_bytes(config, **shape)
    return parts


def _inner_width(config: Any) -> int:
    for name in ("intermediate_size", "ffn_dim", "n_inner"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    return 4 * int(config.hidden_size)


def _stored_inner(config: Any) -> int:
    gated = str(getattr(config, "hidden_act", "")) in ("silu", "swish")
    return 4 if gated else 2
