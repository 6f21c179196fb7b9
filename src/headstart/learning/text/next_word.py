"""Next word: what comes next, after all that stands before? (GPT; Radford et al. 2018).

    L = - 1 / n sum_t log p(x_t | x_<t)

over the n tokens of a block, the first excepted, since nothing stands before it. Padding is neither
seen nor counted.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError

Batch = dict[str, torch.Tensor]


def next_word_losses(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """-log p(x_t | x_<t) of each token but the first, nats: shape (n, L - 1).

    Args:
        logits: at position t those of the token that follows, shape (n, L, V).
        ids: of the tokens, int64, shape (n, L).
    """
    return F.cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none")


def next_word_loss(
    logits: torch.Tensor, ids: torch.Tensor, attention: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the next token, nats.

    Args:
        logits: at position t those of the token that follows, shape (n, L, V).
        ids: of the tokens, int64, shape (n, L).
        attention: 1 for tokens and 0 for padding, which stands at the end, shape (n, L).
    """
    counted = attention[:, 1:].bool()
    # `where` and not a product: what stands at padding may be infinite.
    losses = next_word_losses(logits, ids).where(counted, 0.0)
    return losses.sum() / counted.sum()


class NextWord:
    """The objective, for `headstart.learning.text.pretrain`."""

    def build(self, network: nn.Module) -> nn.Module:
        """The causal model as it is.

        Raises:
            HeadstartError: the network has no language-model head.
        """
        named: Any = network
        if named.get_output_embeddings() is None:
            raise HeadstartError(
                f"next_word: {type(network).__name__} has no language-model head; load a model "
                "that predicts the next word (causal: true in the catalog), or use masked_language."
            )
        return network

    def trained(self, model: nn.Module) -> nn.Module:
        """The causal model, with its head."""
        return model

    def batch(
        self, ids: torch.Tensor, attention: torch.Tensor, generator: torch.Generator
    ) -> Batch:
        """`ids` and `attention`, both (n, L); nothing is random here.

        Args:
            ids: of the tokens, int64, shape (n, L).
            attention: 1 for tokens and 0 for padding, shape (n, L).
            generator: not needed.
        """
        return {"ids": ids, "attention": attention}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Mean over the blocks, which all have the same number of tokens (`Blocks.length`)."""
        ids, attention = batch["ids"], batch["attention"]
        logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
        return next_word_loss(logits, ids, attention)

    def counted(self, batch: Batch) -> int:
        """Tokens that the loss is a mean over."""
        return int(batch["attention"][:, 1:].sum())
