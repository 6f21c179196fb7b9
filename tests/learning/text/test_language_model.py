"""Batches, pooling and extraction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.learning.text.language_model import (
    LanguageModel,
    encode,
    hidden_states,
    pad,
    pool,
    token_batches,
    tokenize,
    untrained,
)

TEXTS = ["the car is red", "a boat", "the old train was very slow and quite blue", "fast", "green"]
CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 90), max_size=40), st.integers(1, 200))
def test_batches_hold_every_row_once_and_keep_to_the_budget(
    lengths: list[int], budget: int
) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(np.concatenate(batches).tolist() if batches else []) == list(range(len(lengths)))
    for rows in batches:
        padded = len(rows) * max(lengths[row] for row in rows)
        assert padded <= budget or len(rows) == 1


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_pooling_against_a_loop(pooling: str) -> None:
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    lengths = [5, 1, 3]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    pick = {"mean": lambda h: h.mean(0), "first": lambda h: h[0], "last": lambda h: h[-1]}[pooling]
    expected = torch.stack([pick(h[:n]) for h, n in zip(hidden, lengths, strict=True)])
    torch.testing.assert_close(pool(hidden, mask, pooling), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["tiny_bert", "tiny_llama"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_the_representation_does_not_depend_on_padding(
    kind: str, pooling: str, request: pytest.FixtureRequest
) -> None:
    """Each text alone, without a padded position, against all of them at once."""
    model: LanguageModel = request.getfixturevalue(kind)
    options = {"most_tokens": 20, "pooling": pooling, "device": CPU}
    together = encode(model, TEXTS, batch_tokens=10_000, **options)  # type: ignore[arg-type]
    alone = encode(model, TEXTS, batch_tokens=1, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    if pooling != "first":  # all texts begin with the same token
        assert together.std(axis=0).max() > 0.01


def test_no_padded_token_leaks_whatever_it_is(tiny_bert: LanguageModel) -> None:
    ids = tokenize(tiny_bert.tokenizer, TEXTS, 20)
    tokens, mask = pad(ids, 0)
    other, _ = pad(ids, 7)
    with torch.no_grad():
        seen, changed = (hidden_states(tiny_bert.network, t, mask) for t in (tokens, other))
    real = mask.bool()
    assert not torch.equal(tokens, other)
    assert torch.equal(seen[real], changed[real])


def test_long_texts_are_cut(tiny_bert: LanguageModel) -> None:
    assert [len(ids) for ids in tokenize(tiny_bert.tokenizer, TEXTS, 5)] == [5, 4, 5, 3, 3]


def test_untrained_has_the_same_shape_other_weights_and_a_seed(tiny_bert: LanguageModel) -> None:
    first, again, other = (untrained(tiny_bert, seed) for seed in (1, 1, 2))
    names = dict(tiny_bert.network.named_parameters())
    assert first.parameters == tiny_bert.parameters
    for name, value in first.network.named_parameters():
        assert torch.equal(value, dict(again.network.named_parameters())[name])
    name = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(first.network.get_parameter(name), names[name])
    assert not torch.equal(first.network.get_parameter(name), other.network.get_parameter(name))


def test_extraction_changes_no_weight(tiny_bert: LanguageModel) -> None:
    before = {k: v.clone() for k, v in tiny_bert.network.state_dict().items()}
    encode(tiny_bert, TEXTS, most_tokens=9, pooling="mean", batch_tokens=8, device=CPU)
    assert all(torch.equal(v, before[k]) for k, v in tiny_bert.network.state_dict().items())
