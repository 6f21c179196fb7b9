"""Texts as blocks of tokens: what the self-supervised objectives learn from.

Each document is followed by the separator token, all are joined to one stream, and the stream is
cut into blocks of equal length: the rest of a document flows into the next block. No computation
is spent on padding. Within a block, tokens attend to those of other documents too, with the
separator between (as GPT-2 and RoBERTa's "full sentences" do; Radford et al. 2019, Liu et al.
2019); no [CLS] stands before a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import HeadstartError


@dataclass(frozen=True)
class Blocks:
    """Packed tokens.

    Attributes:
        ids: of the tokens, int32, shape (n, block).
        length: tokens of each block that are no padding: `block`, unless there is one block alone.
    """

    ids: np.ndarray
    length: int

    @property
    def tokens(self) -> int:
        """Tokens of all blocks, without padding."""
        return len(self.ids) * self.length

    def attention(self) -> np.ndarray:
        """1 for tokens and 0 for padding, int64, shape (block,): the same for every block."""
        return (np.arange(self.ids.shape[1]) < self.length).astype(np.int64)


def split_documents(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Documents to learn from and documents that are held out, each in their own order.

    Documents with the same text are one: all of its copies stand on the same side. Those without
    any text are left out.

    Args:
        texts: the documents.
        share: of the distinct documents, held out: rounded, but at least one and not all.
        seed: of the choice.

    Raises:
        HeadstartError: there are fewer than two distinct documents.
    """
    full = [text for text in texts if text.strip()]
    distinct = list(dict.fromkeys(full))
    if not distinct:
        raise HeadstartError(
            f"There is no text to learn from: {len(texts)} documents, all of them empty."
            if len(texts)
            else "There is no text to learn from: no document at all."
        )
    if len(distinct) < 2:
        raise HeadstartError(
            "There is only one document (copies count once), too few: at least one has to be "
            "learned from and one held out. Give more texts, or cut this one into several."
        )
    count = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    order = np.random.default_rng(seed).permutation(len(distinct))
    held_out = {distinct[i] for i in order[:count]}
    return [t for t in full if t not in held_out], [t for t in full if t in held_out]


def pack(documents: Sequence[Sequence[int]], block: int, separator: int, padding: int) -> Blocks:
    """Join documents and cut them into blocks.

    What is left at the end and fills no block is dropped, unless it is all there is: then it
    becomes one block, padded on the right.

    Args:
        documents: ids of the tokens of each; those without any count for nothing.
        block: tokens a block.
        separator: id of the token that follows each document.
        padding: id of the token that fills up a block; never attended to nor counted.
    """
    joined = [token for ids in documents if len(ids) for token in (*ids, separator)]
    stream = np.array(joined, dtype=np.int32)
    n = len(stream) // block
    if n == 0 and len(stream):
        filled = np.pad(stream, (0, block - len(stream)), constant_values=padding)
        return Blocks(filled[None], len(stream))
    return Blocks(stream[: n * block].reshape(n, block), block)


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text's tokens, none added and none cut off.

    Args:
        tokenizer: of the library transformers.
        texts: the documents.
    """
    if not texts:
        return []
    # Not verbose: a text longer than the network's context is no mistake, it will be cut.
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def make_blocks(
    tokenizer: Any, texts: Sequence[str], *, block: int, held_out_share: float, seed: int
) -> tuple[Blocks, Blocks]:
    """Blocks to learn from and held-out blocks; no document stands in both.

    Args:
        tokenizer: of the library transformers; its separator follows each document, or where it
            has none its end-of-text token.
        texts: the documents.
        block: tokens a block.
        held_out_share: of the documents.
        seed: of the choice of the held-out documents.

    Raises:
        HeadstartError: the texts are too few for a block on both sides, or the tokenizer has no
            separator.
    """
    learned, held_out = split_documents(texts, held_out_share, seed)
    ends = (tokenizer.sep_token_id, tokenizer.eos_token_id)
    separator = next((token for token in ends if token is not None), None)
    if separator is None:
        raise HeadstartError(
            "The tokenizer has neither a separator (sep_token) nor an end-of-text token "
            "(eos_token) to put between documents; set one of them."
        )
    padding = separator if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    sides = []
    for name, side in (("to learn from", learned), ("held out", held_out)):
        blocks = pack(tokenize(tokenizer, side), block, separator, padding)
        if not len(blocks.ids):
            raise HeadstartError(
                f"The tokenizer finds no token in the documents that are {name} ({len(side)} of "
                f"{len(learned) + len(held_out)}); give more texts."
            )
        sides.append(blocks)
    return sides[0], sides[1]
