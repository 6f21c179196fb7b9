"""Layers that are not trained: which they are, and that what is kept of them changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from headstart.learning.text.bitfit import train_biases
from headstart.learning.text.frozen_layers import (
    count_frozen_layers,
    run_frozen_layers,
    run_trained_layers,
)
from headstart.learning.text.language_model import LanguageModel, hidden_states, pad
from headstart.learning.text.lora import add_lora
from headstart.learning.text.parameters import LoraParameters

IDS = [np.array([2, *range(5, 5 + n), 3]) for n in (4, 1, 9, 6)]
CPU = torch.device("cpu")


def network(family: str, layers: int = 4) -> Any:
    """Random weights, dropout on."""
    from transformers import AutoModel, BertConfig, RobertaConfig

    torch.manual_seed(0)
    kind = {"bert": BertConfig, "roberta": RobertaConfig}[family]
    config = kind(
        vocab_size=30,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    return AutoModel.from_config(config).eval()


def adapted(body: Any, layers: int | None) -> Any:
    parameters = LoraParameters(rank=2, alpha=4, targets=["query"], layers=layers)
    return add_lora(copy.deepcopy(body), parameters, seed=0)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_frozen_then_trained_layers_are_the_whole_network(family: str, count: int) -> None:
    body = network(family)
    tokens, mask = pad(IDS, 0)
    kept = run_frozen_layers(body, IDS, count=count, padding=0, batch_tokens=12, device=CPU)
    assert [len(one) for one in kept] == [len(ids) for ids in IDS]
    states, same_mask = pad(kept, 0)
    assert torch.equal(mask, same_mask)
    with torch.no_grad():
        whole = hidden_states(body, tokens, mask)
        split = run_trained_layers(body, states, mask, count)
        layerwise = body(tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    real = mask.bool()
    torch.testing.assert_close(split[real], whole[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states[real], layerwise[count][real], atol=1e-5, rtol=1e-5)


def test_which_layers_are_frozen(tiny_llama: LanguageModel) -> None:
    body = network("bert")
    assert [count_frozen_layers(adapted(body, n)) for n in (None, 4, 3, 1)] == [0, 0, 1, 3]
    assert count_frozen_layers(body) == 0  # all is trained
    assert count_frozen_layers(train_biases(copy.deepcopy(body))) == 0
    head_alone = copy.deepcopy(body).requires_grad_(False)
    assert count_frozen_layers(head_alone) == 4
    parameters = LoraParameters(rank=2, alpha=4, targets=["q_proj"], layers=1)
    assert count_frozen_layers(add_lora(tiny_llama.network, parameters, seed=0)) == 0


def test_gradients_are_those_of_the_whole_network() -> None:
    whole = adapted(network("bert"), 2)
    split = copy.deepcopy(whole)
    tokens, mask = pad(IDS, 0)
    kept = run_frozen_layers(split, IDS, count=2, padding=0, batch_tokens=99, device=CPU)
    states, _ = pad(kept, 0)
    for one, output in (
        (whole, hidden_states(whole, tokens, mask)),
        (split, run_trained_layers(split, states, mask, 2)),
    ):
        (output[..., :7] * mask[..., None]).square().sum().backward()
        assert sum(p.grad is not None for p in one.parameters()) == 4  # A and B of two layers
    expected = {n: p.grad for n, p in whole.named_parameters() if p.grad is not None}
    for name, parameter in split.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-4, rtol=1e-4)
            assert "lora_A" in name or expected[name].abs().max() > 1e-4
