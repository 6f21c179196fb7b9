"""A language model with its tokenizer, and how texts are put into batches."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

Pooling = Literal["mean", "first", "last"]

# What a configuration says of where a model comes from; it changes when the model is saved.
_HISTORY = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}


@dataclass(frozen=True)
class LanguageModel:
    """A network of the library transformers with the tokenizer that it was trained with.

    Attributes:
        network: an encoder (`AutoModel`) or a causal model (`AutoModelForCausalLM`).
        tokenizer: a `PreTrainedTokenizerBase`.
    """

    network: Any
    tokenizer: Any

    @property
    def parameters(self) -> int:
        """Number of weights; those that are used in two places count once."""
        return sum(p.numel() for p in self.network.parameters())


def architecture(model: LanguageModel) -> tuple[type, Any, torch.dtype]:
    """What makes a network like the model's: its class, its configuration, its type of number."""
    return type(model.network), _plain(model.network.config), model.network.dtype


def untrained(model: LanguageModel, seed: int) -> LanguageModel:
    """The same architecture with its initial weights, the same tokenizer.

    Args:
        model: gives the architecture.
        seed: of the weights.
    """
    config = _plain(model.network.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = type(model.network)(config)
    return LanguageModel(network.eval(), model.tokenizer)


def unquantized(model: LanguageModel) -> LanguageModel:
    """A model that was read from a quantized file, as one that can be saved like any other."""
    network = type(model.network)(_plain(model.network.config))
    network.load_state_dict(model.network.state_dict())
    return LanguageModel(network.eval(), model.tokenizer)


def fingerprint(model: LanguageModel) -> str:
    """Of architecture, weights and vocabulary: equal exactly when these are."""
    config = {k: v for k, v in model.network.config.to_dict().items() if k not in _HISTORY}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    digest.update(repr(sorted(model.tokenizer.get_vocab().items())).encode())
    return digest.hexdigest()


def tokenize(tokenizer: Any, texts: Sequence[str], most_tokens: int) -> list[np.ndarray]:
    """Token numbers of each text, special tokens included, int64.

    Args:
        tokenizer: of the model.
        texts: any number of texts.
        most_tokens: the rest of a longer text is cut off.
    """
    ids = tokenizer(list(texts), truncation=True, max_length=most_tokens)["input_ids"]
    return [np.array(one, dtype=np.int64) for one in ids]


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Rows in batches of texts that are about as long as one another.

    Sorted by length, a batch has at most `budget` tokens, padding included: short texts are not
    padded to the length of long ones, and every batch takes about the same memory.

    Args:
        lengths: tokens of each text, shape (n,).
        budget: tokens a batch; one text that is longer is a batch alone.

    Yields:
        Row numbers, each once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(budget // max(int(lengths[order[start]]), 1), 1)
        yield order[start : start + size]
        start += size


def pad(ids: Sequence[np.ndarray], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of one batch, padded on the right, and their attention mask.

    Args:
        ids: token numbers of each text, shape (length,), or a state of each token, (length, D).
        padding: number that fills up; nothing depends on it.

    Returns:
        int64 (n, length), or the states (n, length, D); and the mask, int64 (n, length).
    """
    length = max(map(len, ids))
    kind = torch.from_numpy(ids[0]).dtype
    tokens = torch.full((len(ids), length, *ids[0].shape[1:]), padding, dtype=kind)
    mask = torch.zeros((len(ids), length), dtype=torch.int64)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = torch.from_numpy(one)
        mask[row, : len(one)] = 1
    return tokens, mask


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One representation a text, out of those of its tokens.

        mean: z = sum_t m_t h_t / sum_t m_t

    Args:
        hidden: the last layer's, shape (n, length, D).
        mask: 1 where there is a token, shape (n, length), padded on the right.
        pooling: the mean, or the state of the first (BERT's [CLS]) or the last token.

    Returns:
        Shape (n, D); padding has no part in it.
    """
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "last":
        last = mask.sum(dim=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def hidden_states(network: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last layer's states (n, length, D), of an encoder or of a causal model's body."""
    body = body_of(network)
    states: torch.Tensor = body(input_ids=tokens, attention_mask=mask).last_hidden_state
    return states


def body_of(network: Any) -> Any:
    """An encoder or the body of a causal model, out of the wrapper of PEFT where it is in one."""
    plain = network.get_base_model() if hasattr(network, "get_base_model") else network
    return plain.get_decoder() if type(plain).__name__.endswith("ForCausalLM") else plain


def encode(
    model: LanguageModel,
    texts: Sequence[str],
    *,
    most_tokens: int,
    pooling: Pooling,
    batch_tokens: int,
    device: torch.device,
    progress: Any = iter,
) -> np.ndarray:
    """The representation of texts; nothing is learned.

    Args:
        model: encoder or causal model, which is left on `device`.
        texts: n texts.
        most_tokens: the rest of a longer text is not read.
        pooling: how tokens are joined.
        batch_tokens: tokens a batch.
        device: where it is computed.
        progress: wraps the batches, for a progress bar.

    Returns:
        float32, shape (n, D), in the order of the texts.
    """
    ids = tokenize(model.tokenizer, texts, most_tokens)
    network = model.network.to(device).eval()
    batches = list(token_batches([len(one) for one in ids], batch_tokens))
    out: np.ndarray | None = None
    with torch.inference_mode():
        for rows in progress(batches):
            tokens, mask = pad([ids[row] for row in rows], padding_of(model.tokenizer))
            states = hidden_states(network, tokens.to(device), mask.to(device))
            values = pool(states, mask.to(device), pooling).float().cpu().numpy()
            if out is None:
                out = np.empty((len(texts), values.shape[1]), dtype=np.float32)
            out[rows] = values
    assert out is not None
    return out


def padding_of(tokenizer: Any) -> int:
    """The token that fills up; any will do where the tokenizer has none, for it is masked."""
    return 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def _plain(config: Any) -> Any:
    """A copy of a model's configuration that says nothing of how its file was quantized."""
    plain = copy.deepcopy(config)
    if hasattr(plain, "quantization_config"):
        del plain.quantization_config
    return plain
