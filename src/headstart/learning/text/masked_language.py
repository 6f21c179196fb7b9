"""Masked language: which words stand where they are hidden? (BERT; Devlin et al. 2019).

    L = - 1 / |M| sum_{i in M} log p(x_i | masked x)

M are tokens chosen at random in each block, a share 0.15 of those that are neither special nor
padding. Of the chosen ones 80% become [MASK], 10% a random token of the vocabulary, and 10% stay
as they are (section 3.1): the network cannot tell which tokens it is asked for, so it has to keep a
representation of each.

p is the softmax over the vocabulary of E LN(GELU(W h_i + b)) + c: h_i is the encoder's output at
token i, E its own input embeddings. W, b, the layer norm LN and c are new, and thrown away
afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError

Batch = dict[str, torch.Tensor]

IGNORED = -100  # label of a token that is not asked for, as everywhere in torch
_MASKED, _RANDOM = 0.8, 0.1


def mask_tokens(
    ids: torch.Tensor,
    special_mask: torch.Tensor,
    mask_id: int,
    vocabulary: int,
    share: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose tokens and hide them.

    As in the authors' code, the number of chosen tokens is not random: the share of a block's
    tokens that may be chosen, rounded, and at least one where there is any.

    Args:
        ids: of the tokens, int64, shape (n, L).
        special_mask: true where a token must not be chosen (special or padding), shape (n, L).
        mask_id: of [MASK].
        vocabulary: number of tokens that random ones are drawn from, uniformly.
        share: of the tokens that are chosen.
        generator: on the device of `ids`.

    Returns:
        Inputs and labels, both (n, L); a label is the token's id where it was chosen, else -100.
    """
    draw = torch.rand(3, *ids.shape, generator=generator, device=ids.device)
    free = (~special_mask).sum(dim=1, keepdim=True)
    count = torch.minimum((share * free).round().long().clamp(min=1), free)
    # Special tokens come last in the order, where the count does not reach.
    rank = draw[0].masked_fill(special_mask, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = rank < count
    masked = chosen & (draw[1] < _MASKED)
    replaced = chosen & ~masked & (draw[1] < _MASKED + _RANDOM)
    random = (draw[2] * vocabulary).long().clamp(max=vocabulary - 1)
    inputs = torch.where(replaced, random, ids).masked_fill(masked, mask_id)
    return inputs, ids.masked_fill(~chosen, IGNORED)


def masked_loss(
    logits: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean cross-entropy over the chosen tokens, nats.

    Args:
        logits: shape (..., V).
        labels: ids, -100 where a token was not chosen, shape (...).
        chosen: |M|, what the sum is divided by; None: the number of labels that are not -100.
    """
    total = F.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]),
        labels.reshape(-1),
        ignore_index=IGNORED,
        reduction="sum",
    )
    return total / ((labels != IGNORED).sum() if chosen is None else chosen)


class MaskedLanguageModel(nn.Module):
    """An encoder, and on top BERT's head that says which token stands where.

    The decoder's weights are the encoder's input embeddings, the same memory.

    Args:
        encoder: of the library transformers, without a head.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        network: Any = encoder
        embeddings: nn.Parameter = network.get_input_embeddings().weight
        vocabulary, width = embeddings.shape
        config = network.config
        self.dense = nn.Linear(config.hidden_size, width)
        self.norm = nn.LayerNorm(width, eps=getattr(config, "layer_norm_eps", 1e-12))
        self.decoder = nn.Linear(width, vocabulary, device="meta")
        self.decoder.weight = embeddings
        self.decoder.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.dense.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.dense.bias)

    def forward(
        self, ids: torch.Tensor, attention: torch.Tensor, chosen: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the vocabulary.

        Args:
            ids: of the tokens, shape (n, L).
            attention: 1 for tokens and 0 for padding, shape (n, L).
            chosen: bool, shape (n, L): compute logits there alone; None: everywhere.

        Returns:
            Shape (n, L, V), or (|M|, V) with `chosen`.
        """
        hidden = self.encoder(input_ids=ids, attention_mask=attention).last_hidden_state
        if chosen is not None:
            hidden = hidden[chosen]
        logits: torch.Tensor = self.decoder(self.norm(F.gelu(self.dense(hidden))))
        return logits


class MaskedLanguage:
    """The objective, for `headstart.learning.text.pretrain`.

    Args:
        tokenizer: of the library transformers.
        share: of the tokens that are chosen.

    Raises:
        HeadstartError: the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: Any, share: float):
        if tokenizer.mask_token_id is None:
            raise HeadstartError(
                "masked_language: the tokenizer has no mask token (mask_token). Use next_word for "
                "a model that predicts the next word, or an encoder such as BERT."
            )
        self.mask_id, self.vocabulary = int(tokenizer.mask_token_id), len(tokenizer)
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))
        self.share = share

    def build(self, network: nn.Module) -> nn.Module:
        """The encoder with a new head.

        Raises:
            HeadstartError: the network has a head of its own.
        """
        named: Any = network
        if named.get_output_embeddings() is not None:
            raise HeadstartError(
                f"masked_language: {type(network).__name__} has a language-model head of its own; "
                "give the encoder alone (causal: false in the catalog)."
            )
        return MaskedLanguageModel(network)

    def trained(self, model: nn.Module) -> nn.Module:
        """The encoder, without the head."""
        encoder = model.encoder
        assert isinstance(encoder, nn.Module)
        return encoder

    def batch(
        self, ids: torch.Tensor, attention: torch.Tensor, generator: torch.Generator
    ) -> Batch:
        """Masked `ids`, `attention`, `labels`, all (n, L), and `chosen`, |M| / n, n times.

        Args:
            ids: of the tokens, int64, shape (n, L).
            attention: 1 for tokens and 0 for padding, shape (n, L).
            generator: of the masks.
        """
        special = torch.isin(ids, self.special.to(ids.device)) | (attention == 0)
        inputs, labels = mask_tokens(
            ids, special, self.mask_id, self.vocabulary, self.share, generator
        )
        # Blocks differ a little in how many tokens are chosen. So that pieces of a batch add up to
        # the mean over its chosen tokens, each piece is told how many the whole batch has.
        chosen = (labels != IGNORED).sum().clamp(min=1) / len(ids)
        batch = {"ids": inputs, "attention": attention, "labels": labels}
        return {**batch, "chosen": chosen.expand(len(ids))}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Mean over the chosen tokens; of a part of a batch what adds up to that of the whole."""
        labels = batch["labels"]
        asked = labels != IGNORED
        logits = model(batch["ids"], batch["attention"], asked)
        return masked_loss(logits, labels[asked], batch["chosen"].sum())

    def counted(self, batch: Batch) -> int:
        """Tokens that the loss is a mean over."""
        return int((batch["labels"] != IGNORED).sum())
