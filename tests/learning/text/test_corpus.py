from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headstart.errors import HeadstartError
from headstart.learning.text.corpus import make_blocks, pack, split_documents, tokenize

SEPARATOR, PADDING = 3, 1
documents = st.lists(st.lists(st.integers(4, 59), max_size=12), max_size=12)


def tokenizer(words: int = 56, **special: Any) -> PreTrainedTokenizerFast:
    names = ["[UNK]", "[PAD]", "[MASK]", "[SEP]", *(f"w{i}" for i in range(words))]
    whole = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **{**named, **special})


def words(*ids: int) -> str:
    return " ".join(f"w{i}" for i in ids)


# --- packing ---------------------------------------------------------------------------------


@given(parts=documents, block=st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_every_token_stands_in_the_blocks_once_and_in_order(
    parts: list[list[int]], block: int
) -> None:
    stream = [token for part in parts if part for token in [*part, SEPARATOR]]
    blocks = pack(parts, block, SEPARATOR, PADDING)
    n = len(stream) // block
    assert blocks.ids.dtype == np.int32
    assert blocks.ids.shape[1] == block
    if n == 0 and stream:
        assert blocks.ids.tolist() == [stream + [PADDING] * (block - len(stream))]
        assert blocks.attention().tolist() == [1] * len(stream) + [0] * (block - len(stream))
        assert blocks.tokens == len(stream)
    else:
        assert blocks.ids.ravel().tolist() == stream[: n * block]
        assert blocks.attention().tolist() == [1] * block
        assert blocks.tokens == n * block > len(stream) - block


def test_packing_by_hand() -> None:
    blocks = pack([[10, 11, 12], [], [13], [14, 15]], 4, SEPARATOR, PADDING)
    assert blocks.ids.tolist() == [[10, 11, 12, 3], [13, 3, 14, 15]]
    blocks = pack([[10, 11]], 4, SEPARATOR, PADDING)
    assert (blocks.ids.tolist(), blocks.length) == ([[10, 11, 3, 1]], 3)


# --- the split -------------------------------------------------------------------------------


@given(
    texts=st.lists(st.text("ab ", max_size=3), max_size=30),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 999),
)
@settings(max_examples=200, deadline=None)
def test_no_document_stands_on_both_sides(texts: list[str], share: float, seed: int) -> None:
    full = [text for text in texts if text.strip()]
    distinct = len(set(full))
    if distinct < 2:
        with pytest.raises(HeadstartError):
            split_documents(texts, share, seed)
        return
    learned, held_out = split_documents(texts, share, seed)
    assert not set(learned) & set(held_out)
    assert sorted(learned + held_out) == sorted(full)
    assert len(set(held_out)) == min(max(1, round(share * distinct)), distinct - 1)
    assert learned == [text for text in full if text in set(learned)]
    assert split_documents(texts, share, seed) == (learned, held_out)


def test_another_seed_holds_out_other_documents() -> None:
    texts = [words(i) for i in range(50)]
    assert split_documents(texts, 0.2, 0) != split_documents(texts, 0.2, 1)


@given(seed=st.integers(0, 999), block=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_blocks_hold_the_tokens_of_their_own_side_alone(seed: int, block: int) -> None:
    texts = [words(i, i, i) for i in range(20)]
    learned, held_out = make_blocks(tokenizer(), texts, block=block, held_out_share=0.3, seed=seed)
    shared = set(learned.ids.ravel().tolist()) & set(held_out.ids.ravel().tolist())
    assert shared <= {SEPARATOR}
    assert held_out.tokens == 6 * 4 // block * block
    assert learned.tokens == 14 * 4 // block * block


# --- tokens ----------------------------------------------------------------------------------


def test_texts_are_neither_cut_nor_given_more_tokens() -> None:
    short = tokenizer(model_max_length=4)
    assert tokenize(short, [words(*range(20)), "", "w0 what"]) == [[*range(4, 24)], [], [4, 0]]
    assert tokenize(short, []) == []


def test_the_end_of_text_token_separates_where_there_is_no_other() -> None:
    texts = [words(1), words(2)]
    options: dict[str, Any] = {"block": 8, "held_out_share": 0.5, "seed": 0}
    causal = tokenizer(sep_token=None, pad_token=None, eos_token="[SEP]")
    learned, _ = make_blocks(causal, texts, **options)
    assert learned.ids[0, 1:].tolist() == [SEPARATOR] * 7
    assert learned.length == 2
    with pytest.raises(HeadstartError, match=r"neither a separator.*nor an end-of-text token"):
        make_blocks(tokenizer(sep_token=None), texts, **options)


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no document at all"),
        (["", " \n"], "2 documents, all of them empty"),
        (["w1", "", "w1"], r"only one document \(copies count once\)"),
    ],
)
def test_too_few_texts_are_an_error(texts: list[str], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        make_blocks(tokenizer(), texts, block=8, held_out_share=0.1, seed=0)


def test_texts_without_any_token_are_an_error() -> None:
    # Control characters alone are no white space, and no tokens of a normalizer that strips them.
    from tokenizers import normalizers

    strict = tokenizer()
    strict.backend_tokenizer.normalizer = normalizers.BertNormalizer()
    with pytest.raises(HeadstartError, match=r"finds no token in the documents that are"):
        make_blocks(strict, ["\x01", "\x02"], block=8, held_out_share=0.5, seed=0)
