"""LoRA against the lecture: B = 0, W frozen, rank at most r, (d + k) r parameters."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import HeadstartError
from headstart.learning.text.bitfit import train_biases
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.lora import add_lora, count_lora_parameters, merge_lora
from headstart.learning.text.parameters import LoraParameters

TOKENS = torch.tensor([[2, 5, 7, 11, 3], [2, 9, 13, 6, 3]])


def lora(rank: int = 3, variant: str = "lora", targets: Any = ("query", "value")) -> LoraParameters:
    return LoraParameters(rank=rank, alpha=7, targets=list(targets), variant=variant)  # type: ignore[arg-type]


def trained(model: LanguageModel, parameters: LoraParameters, steps: int = 20) -> Any:
    """A few large steps on an arbitrary loss."""
    torch.manual_seed(0)
    network = add_lora(copy.deepcopy(model.network), parameters, seed=1)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        loss = outputs(network)[..., :16].mean()  # the last layer norm fixes all of the width
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def outputs(network: Any) -> torch.Tensor:
    states: torch.Tensor = network(input_ids=TOKENS).last_hidden_state
    return states


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora", "pissa"])
def test_at_initialization_nothing_changes(tiny_bert: LanguageModel, variant: str) -> None:
    with torch.no_grad():
        before = outputs(tiny_bert.network)
        adapted = add_lora(copy.deepcopy(tiny_bert.network), lora(variant=variant), seed=0).eval()
        torch.testing.assert_close(outputs(adapted), before, atol=2e-6, rtol=1e-5)


def test_b_is_zero_and_a_gaussian(tiny_bert: LanguageModel) -> None:
    network = add_lora(copy.deepcopy(tiny_bert.network), lora(rank=16), seed=0)
    parts = dict(network.named_parameters())
    assert all(not v.any() for k, v in parts.items() if "lora_B" in k)
    a = torch.cat([v.flatten() for k, v in parts.items() if "lora_A" in k])
    assert a.std().item() == pytest.approx(1 / 16, rel=0.1)
    assert a.mean().abs().item() < 0.01
    assert (a.abs() > 2.5 / 16).float().mean().item() > 0.002  # a uniform one ends at 1.7


def test_the_frozen_weights_get_no_gradient_and_stay_by_the_bit(tiny_bert: LanguageModel) -> None:
    network = trained(tiny_bert, lora())
    before = dict(tiny_bert.network.named_parameters())
    frozen = 0
    for name, value in network.named_parameters():
        if "lora_" in name:
            continue
        original = name.removeprefix("base_model.model.").replace(".base_layer", "")
        assert value.grad is None
        assert torch.equal(value, before[original]), name
        frozen += 1
    assert frozen == len(before)


def test_the_update_has_rank_r_at_most(tiny_bert: LanguageModel) -> None:
    merged = merge_lora(trained(tiny_bert, lora(rank=3)))
    for layer in (0, 1):
        name = f"encoder.layer.{layer}.attention.self.query.weight"
        update = merged.get_parameter(name) - tiny_bert.network.get_parameter(name)
        singular = torch.linalg.svdvals(update.double())
        assert singular[2] > 1e-3 * singular[0]  # all of the rank is used
        assert singular[3] < 1e-4 * singular[0]


@pytest.mark.parametrize("rank", [1, 4])
def test_trainable_parameters_are_d_plus_k_times_r(tiny_bert: LanguageModel, rank: int) -> None:
    targets = ["query", "intermediate.dense"]
    formula = count_lora_parameters(tiny_bert.network, targets, rank)
    assert formula == 2 * rank * ((32 + 32) + (32 + 48))
    network = add_lora(copy.deepcopy(tiny_bert.network), lora(rank, targets=targets), seed=0)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == formula


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora", "pissa"])
def test_merged_equals_unmerged(tiny_bert: LanguageModel, variant: str) -> None:
    network = trained(tiny_bert, lora(variant=variant))
    with torch.no_grad():
        apart = outputs(network)
        assert (apart - outputs(tiny_bert.network)).abs().max() > 0.01  # far above the bound
        torch.testing.assert_close(outputs(merge_lora(network)), apart, atol=1e-5, rtol=1e-5)


def test_a_saved_adapter_is_opened_by_peft(tiny_bert: LanguageModel, tmp_path: Path) -> None:
    from peft import PeftModel

    network = trained(tiny_bert, lora())
    network.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()
    opened = PeftModel.from_pretrained(copy.deepcopy(tiny_bert.network), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(outputs(opened), outputs(network))


def test_a_target_that_is_not_there_is_named_with_those_that_are(tiny_bert: LanguageModel) -> None:
    with pytest.raises(HeadstartError, match=r"no linear layer 'q_proj'.*dense, key, query, value"):
        add_lora(tiny_bert.network, lora(targets=["q_proj"]), seed=0)


def test_bitfit_trains_the_biases_alone(tiny_bert: LanguageModel) -> None:
    network = train_biases(tiny_bert.network)
    trained_names = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trained_names == {n for n, _ in network.named_parameters() if n.endswith("bias")}
    assert len(trained_names) > 10


def test_bitfit_says_where_there_is_no_bias(tiny_llama: LanguageModel) -> None:
    with pytest.raises(HeadstartError, match=r"LlamaForCausalLM has no biases"):
        train_biases(tiny_llama.network)


@pytest.mark.parametrize("targets", [["query", "value"], "all-linear"])
def test_the_last_layers_alone_are_adapted(tiny_bert: LanguageModel, targets: Any) -> None:
    parameters = LoraParameters(rank=3, alpha=7, targets=targets, layers=1)
    formula = count_lora_parameters(tiny_bert.network, targets, 3, layers=1)
    network = add_lora(copy.deepcopy(tiny_bert.network), parameters, seed=0)
    names = [n for n, p in network.named_parameters() if p.requires_grad]
    assert names
    assert all(".layer.1." in name for name in names)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == formula


def test_adapters_of_the_last_layers_are_opened_by_peft(
    tiny_bert: LanguageModel, tmp_path: Path
) -> None:
    from peft import PeftModel

    network = trained(tiny_bert, lora().model_copy(update={"layers": 1}))
    network.save_pretrained(tmp_path)
    opened = PeftModel.from_pretrained(copy.deepcopy(tiny_bert.network), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(outputs(opened), outputs(network))
        assert not torch.equal(outputs(opened), outputs(tiny_bert.network))


def test_more_layers_than_there_are_and_targets_in_none_of_them_are_told(
    tiny_bert: LanguageModel,
) -> None:
    many = lora().model_copy(update={"layers": 3})
    with pytest.raises(HeadstartError, match=r"3 layers are to be adapted, the model has 2"):
        add_lora(tiny_bert.network, many, seed=0)
    outside = lora(targets=["pooler.dense"]).model_copy(update={"layers": 1})
    with pytest.raises(HeadstartError, match=r"pooler.dense.*in the last 1 of the model's 2"):
        add_lora(tiny_bert.network, outside, seed=0)
