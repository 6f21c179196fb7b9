from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from headstart.errors import HeadstartError
from headstart.learning.text.masked_language import (
    IGNORED,
    MaskedLanguage,
    MaskedLanguageModel,
    mask_tokens,
    masked_loss,
)

SPECIAL = ["[UNK]", "[PAD]", "[MASK]", "[SEP]"]
MASK = 2


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tokenizer(words: int = 56, **special: Any) -> PreTrainedTokenizerFast:
    vocabulary = {w: i for i, w in enumerate([*SPECIAL, *(f"w{i}" for i in range(words))])}
    whole = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=whole, **{**named, "sep_token": "[SEP]", **special}
    )


def encoder(**changed: Any) -> BertModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=60, intermediate_size=64, **{**sizes, **changed})
    return BertModel(config, add_pooling_layer=False).eval()


# --- what is masked --------------------------------------------------------------------------


@given(
    n=st.integers(1, 6),
    length=st.integers(1, 40),
    share=st.floats(0.01, 0.99),
    special=st.floats(0, 1),
    seed=st.integers(0, 9999),
)
@settings(max_examples=100, deadline=None)
def test_a_share_of_each_block_is_chosen_and_the_rest_is_untouched(
    n: int, length: int, share: float, special: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 60, (n, length), generator=generator)
    special_mask = torch.rand(n, length, generator=generator) < special
    given_ids = ids.clone()
    inputs, labels = mask_tokens(ids, special_mask, MASK, 60, share, generator)
    chosen = labels != IGNORED
    assert torch.equal(ids, given_ids)
    assert not (chosen & special_mask).any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])
    for free, count in zip((~special_mask).sum(1).tolist(), chosen.sum(1).tolist(), strict=True):
        assert abs(count - share * free) <= 0.5 + 1e-4 * free or count == min(free, 1)
        assert count >= min(free, 1)


@given(seed=st.integers(0, 9999))
@settings(max_examples=20, deadline=None)
def test_of_the_chosen_80_10_10_are_masked_random_and_kept(seed: int) -> None:
    vocabulary = 1000
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, vocabulary, (400, 128), generator=generator)
    inputs, labels = mask_tokens(ids, ids < 50, MASK, vocabulary, 0.15, generator)
    chosen = labels != IGNORED
    n = int(chosen.sum())
    masked = chosen & (inputs == MASK)
    kept = chosen & (inputs == ids)
    changed = chosen & ~masked & ~kept
    same = 0.1 / vocabulary  # random tokens that happen to be the true one, or [MASK]
    for got, expected in ((masked, 0.8 + same), (kept, 0.1 + same), (changed, 0.1 - 2 * same)):
        deviation = math.sqrt(expected * (1 - expected) / n)
        assert abs(got.sum().item() / n - expected) < 5 * deviation
    # Random tokens are uniform over the vocabulary, and every place of a block is chosen alike.
    tokens = inputs[changed].double()
    spread = vocabulary / math.sqrt(12 * len(tokens))
    assert abs(tokens.mean().item() - (vocabulary - 1) / 2) < 5 * spread
    assert tokens.min() >= 0
    assert tokens.max() < vocabulary
    places = chosen.double().mean(0)
    assert (places - places.mean()).abs().max() < 6 * math.sqrt(0.15 * 0.85 / 400)


def test_special_tokens_and_padding_are_never_chosen_by_the_objective() -> None:
    task = MaskedLanguage(tokenizer(), 0.9)
    ids = torch.randint(0, 60, (50, 20), generator=torch.Generator().manual_seed(0))
    attention = (torch.arange(20) < 15).long().expand(50, -1)
    batch = task.batch(ids, attention, torch.Generator().manual_seed(0))
    chosen = batch["labels"] != IGNORED
    assert not (chosen & ((ids < len(SPECIAL)) | (attention == 0))).any()
    free = ((ids >= 4) & (attention == 1)).sum().item()
    assert chosen.sum().item() == pytest.approx(0.9 * free, rel=0.05)
    assert task.counted(batch) == chosen.sum()


# --- the loss --------------------------------------------------------------------------------


def by_hand(logits: torch.Tensor, labels: torch.Tensor) -> float:
    values, losses = logits.detach().double().numpy(), []
    for block, wanted in zip(values, labels.tolist(), strict=True):
        for row, label in zip(block, wanted, strict=True):
            if label != IGNORED:
                losses.append(-(row[label] - np.log(np.exp(row).sum())))
    return float(np.mean(losses))


def test_the_loss_is_the_mean_over_the_chosen_tokens_by_hand() -> None:
    task = MaskedLanguage(tokenizer(), 0.3)
    model = task.build(encoder()).eval()
    generator = torch.Generator().manual_seed(1)
    # Blocks with more and fewer special tokens, so more and fewer chosen ones.
    ids = torch.randint(4, 60, (3, 12), generator=generator)
    ids[1, :8] = 3
    batch = task.batch(ids, torch.ones_like(ids), generator)
    logits = model(batch["ids"], batch["attention"])
    expected = by_hand(logits, batch["labels"])
    assert masked_loss(logits, batch["labels"]).item() == pytest.approx(expected, rel=1e-5)
    assert task.loss(model, batch).item() == pytest.approx(expected, rel=1e-5)
    # Micro-batches, each weighted by its share of the blocks, add up to it.
    parts = [{k: t[rows] for k, t in batch.items()} for rows in (slice(0, 1), slice(1, 3))]
    losses = [task.loss(model, part).item() for part in parts]
    assert losses[0] / 3 + losses[1] * 2 / 3 == pytest.approx(expected, rel=1e-5)


def test_logits_of_other_tokens_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 10, 60, generator=generator)
    labels = torch.full((4, 10), IGNORED)
    labels[0, 3], labels[2, 9] = 7, 59
    before = masked_loss(logits, labels)
    other = torch.where((labels == IGNORED)[..., None], 1e4 * torch.randn_like(logits), logits)
    assert torch.equal(masked_loss(other, labels), before)
    other[0, 3, 7] += 1
    assert masked_loss(other, labels) < before


def test_a_batch_without_any_token_to_choose_has_the_loss_zero() -> None:
    task = MaskedLanguage(tokenizer(), 0.15)
    model = task.build(encoder())
    ids = torch.full((2, 8), 3)
    batch = task.batch(ids, torch.ones_like(ids), torch.Generator())
    loss = task.loss(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(batch["ids"], ids)


# --- the model -------------------------------------------------------------------------------


def test_the_decoder_shares_the_memory_of_the_embeddings() -> None:
    bert = encoder()
    model = MaskedLanguageModel(bert)
    embeddings = bert.embeddings.word_embeddings.weight
    assert model.decoder.weight is embeddings
    assert model.decoder.weight.data_ptr() == embeddings.data_ptr()
    names = [name for name, _ in model.named_parameters()]
    assert "encoder.embeddings.word_embeddings.weight" in names
    assert "decoder.weight" not in names
    assert model.decoder.bias.shape == (60,)
    moved = model.double()
    assert moved.decoder.weight.data_ptr() == bert.embeddings.word_embeddings.weight.data_ptr()


def test_the_head_computes_what_that_of_bert_does() -> None:
    bert = encoder()
    model = MaskedLanguageModel(bert).eval()
    whole = BertForMaskedLM(bert.config).eval()
    whole.bert = bert
    head = whole.cls.predictions
    nn.init.normal_(model.decoder.bias)
    nn.init.normal_(model.norm.weight)
    head.transform.dense, head.transform.LayerNorm, head.decoder = (
        *(model.dense, model.norm),
        model.decoder,
    )
    ids = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    attention = (torch.arange(9) < 7).long().expand(3, -1)
    expected = whole(input_ids=ids, attention_mask=attention).logits
    logits = model(ids, attention)
    torch.testing.assert_close(logits, expected)
    chosen = torch.rand(3, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    torch.testing.assert_close(model(ids, attention, chosen), logits[chosen])


# --- errors ----------------------------------------------------------------------------------


def test_a_tokenizer_without_a_mask_token_is_an_error() -> None:
    with pytest.raises(HeadstartError, match=r"no mask token.*next_word"):
        MaskedLanguage(tokenizer(mask_token=None), 0.15)


def test_a_network_with_a_head_is_an_error() -> None:
    with pytest.raises(HeadstartError, match=r"BertForMaskedLM has a language-model head"):
        MaskedLanguage(tokenizer(), 0.15).build(BertForMaskedLM(encoder().config))
