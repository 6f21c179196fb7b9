from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from headstart.errors import HeadstartError
from headstart.learning.text.next_word import NextWord, next_word_loss, next_word_losses

VOCABULARY = 60


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config() -> LlamaConfig:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaConfig(vocab_size=VOCABULARY, intermediate_size=64, **sizes)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(config()).eval()


def tokens(n: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (n, length), generator=torch.Generator().manual_seed(seed))


def loss(model: LlamaForCausalLM, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    task = NextWord()
    with torch.no_grad():
        return task.loss(model, task.batch(ids, attention, torch.Generator()))


def test_the_loss_by_hand_and_as_transformers_has_it(model: LlamaForCausalLM) -> None:
    ids = tokens(3, 9)
    attention = torch.ones_like(ids)
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=attention, labels=ids)
    logits, losses = output.logits.double().numpy(), []
    for block, wanted in zip(logits, ids.tolist(), strict=True):
        for t in range(1, 9):
            row = block[t - 1]
            losses.append(-(row[wanted[t]] - np.log(np.exp(row).sum())))
    assert len(losses) == NextWord().counted({"ids": ids, "attention": attention}) == 3 * 8
    assert loss(model, ids, attention).item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert loss(model, ids, attention).item() == pytest.approx(output.loss.item(), rel=1e-5)
    np.testing.assert_allclose(
        next_word_losses(output.logits, ids).numpy().ravel(), losses, rtol=1e-4
    )


@given(changed=st.integers(1, 11), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_later_token_does_not_change_earlier_losses(
    model: LlamaForCausalLM, changed: int, seed: int
) -> None:
    ids = tokens(2, 12, seed)
    other = ids.clone()
    other[:, changed:] = (other[:, changed:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = (next_word_losses(model(input_ids=i).logits, i) for i in (ids, other))
    # Column t is the loss of token t + 1.
    torch.testing.assert_close(before[:, : changed - 1], after[:, : changed - 1])
    assert not torch.allclose(before[:, changed - 1 :], after[:, changed - 1 :])


@given(padding=st.integers(1, 8), token=st.integers(0, VOCABULARY - 1))
@settings(max_examples=25, deadline=None)
def test_padding_does_not_change_the_loss(
    model: LlamaForCausalLM, padding: int, token: int
) -> None:
    ids = tokens(2, 10)
    attention = torch.ones_like(ids)
    padded = torch.nn.functional.pad(ids, (0, padding), value=token)
    mask = torch.nn.functional.pad(attention, (0, padding))
    torch.testing.assert_close(loss(model, padded, mask), loss(model, ids, attention))
    assert NextWord().counted({"attention": mask}) == 2 * 9


def test_what_stands_at_padding_may_even_be_infinite() -> None:
    ids = tokens(1, 4)
    logits = torch.zeros(1, 4, VOCABULARY)
    logits[0, 2] = torch.inf
    attention = torch.tensor([[1, 1, 1, 0]])
    assert next_word_loss(logits, ids, attention).item() == pytest.approx(np.log(VOCABULARY))


def test_a_network_without_a_head_is_an_error(model: LlamaForCausalLM) -> None:
    assert NextWord().build(model) is model
    with pytest.raises(HeadstartError, match=r"LlamaModel has no language-model head"):
        NextWord().build(LlamaModel(config()))
