"""What LoRA saves, by the formula, counted, in torch's real tensors, and measured."""

from __future__ import annotations

import copy
import sys

import pandas as pd
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.text import lora_costs
from headstart.learning.text.language_model import LanguageModel, hidden_states
from headstart.learning.text.lora_costs import COST_COLUMNS, adapted, cost_table
from headstart.learning.text.parameters import CostParameters, LoraParameters

COMPUTE = ComputeParameters(device="cpu", progress=False)


def adapters(variant: str = "lora", targets: object = ("query", "value")) -> LoraParameters:
    return LoraParameters.model_validate(
        {"rank": 2, "alpha": 4, "variant": variant, "targets": targets}
    )


def table(model: LanguageModel, lora: LoraParameters, measured: str = "none") -> pd.DataFrame:
    parameters = CostParameters(ranks=(1, 4), measured=measured, batch_size=3, tokens=5)
    return cost_table("tiny", model, lora, parameters, COMPUTE)


def test_the_formula_is_what_is_counted_and_what_a_hand_counts(tiny_bert: LanguageModel) -> None:
    costs = table(tiny_bert, adapters())
    assert list(costs.columns) == list(COST_COLUMNS)
    assert costs["method"].tolist() == ["fine_tune", "lora", "lora", "lora", "bitfit"]
    lora = costs[costs["method"] == "lora"]
    assert lora["rank"].tolist() == [1, 2, 4]  # that of the adapters is one of them
    # Two layers with a query and a value each, 32 to 32.
    by_hand = [2 * 2 * (32 + 32) * rank for rank in (1, 2, 4)]
    assert lora["formula_parameters"].tolist() == lora["trainable_parameters"].tolist() == by_hand
    assert (lora["total_parameters"] - tiny_bert.parameters).tolist() == by_hand
    full, bitfit = costs.iloc[0], costs.iloc[-1]
    assert full["trainable_parameters"] == tiny_bert.parameters
    # Of each layer: five of attention and its norm, 48 between, two of the output; embeddings' norm
    # and the pooler.
    assert bitfit["trainable_parameters"] == 2 * (5 * 32 + 48 + 2 * 32) + 32 + 32
    assert costs[costs["method"] != "lora"]["formula_parameters"].isna().all()
    assert costs["step_peak_bytes"].isna().all()


def test_doras_magnitudes_come_on_top_and_the_layer_of_the_outputs_is_left_out(
    tiny_bert: LanguageModel, tiny_llama: LanguageModel
) -> None:
    dora = table(tiny_bert, adapters("dora")).query("method == 'lora'")
    assert (dora["trainable_parameters"] - dora["formula_parameters"]).tolist() == [4 * 32] * 3
    llama = table(tiny_llama, adapters(targets="all-linear"))
    assert "bitfit" not in set(llama["method"])  # it has no bias
    lora = llama[llama["method"] == "lora"]
    layer = 2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48)  # q, o; k, v of two heads; gate, up, down
    assert lora["formula_parameters"].tolist() == [2 * layer * rank for rank in (1, 2, 4)]
    assert lora["trainable_parameters"].tolist() == lora["formula_parameters"].tolist()


@pytest.mark.parametrize("method", ["fine_tune", "lora", "bitfit"])
def test_gradients_and_moments_are_those_of_a_real_step(
    tiny_bert: LanguageModel, method: str
) -> None:
    lora = adapters() if method == "lora" else None
    network = adapted(copy.deepcopy(tiny_bert.network), method, lora)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    tokens = torch.tensor([[2, 5, 7, 3]])
    hidden_states(network, tokens, torch.ones_like(tokens)).square().mean().backward()
    optimizer.step()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    moments = [
        state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    costs = table(tiny_bert, adapters())
    row = costs[(costs["method"] == method) & (costs["rank"].fillna(2) == 2)].iloc[0]
    # No state of a token depends on BERT's pooler.
    idle = {"fine_tune": 32 * 32 + 32, "lora": 0, "bitfit": 32}[method] * 4
    assert sum(g.nbytes for g in gradients) == row["gradient_bytes"] - idle
    assert sum(m.nbytes for m in moments) == row["optimizer_bytes"] - 2 * idle


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_measured_step_of_all_weights_takes_their_gradients_and_moments() -> None:
    from transformers import BertConfig, BertModel

    # 4.3 M weights, so that 3 x 17 MB stand out from what else a step takes.
    config = BertConfig(
        vocab_size=8000,
        hidden_size=512,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    model = LanguageModel(BertModel(config), None)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    parameters = CostParameters(ranks=(), batch_size=2, tokens=4)
    costs = cost_table("wide", model, adapters(), parameters, COMPUTE).set_index("method")
    assert (costs["note"] == "").all()
    full, lora = costs["step_peak_bytes"]["fine_tune"], costs["step_peak_bytes"]["lora"]
    beside = costs["gradient_bytes"] + costs["optimizer_bytes"]
    assert full > 0.8 * beside["fine_tune"]
    assert full - lora > 0.6 * (beside["fine_tune"] - beside["lora"])
    # Another process did it all.
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())


def test_a_step_that_does_not_fit_is_a_row_with_the_reason(
    tiny_bert: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(function: object, job: lora_costs.Step, **_: object) -> int:
        if job.method == "fine_tune":
            raise HeadstartError("not even one example fits")
        return 7

    monkeypatch.setattr(lora_costs, "run_apart", dies)
    costs = table(tiny_bert, adapters(), measured="each")
    assert costs["note"].tolist() == ["not even one example fits", "", "", "", ""]
    assert costs["step_peak_bytes"].isna().tolist() == [True, False, False, False, False]


def test_only_the_configured_rank_is_measured_where_that_is_asked_for(
    tiny_bert: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rank_of(function: object, job: lora_costs.Step, **_: object) -> int:
        return job.lora.rank if job.lora else 100

    monkeypatch.setattr(lora_costs, "run_apart", rank_of)
    costs = table(tiny_bert, adapters(), measured="configured")
    own = adapters().rank
    for row in costs.itertuples():
        if row.method == "lora" and row.rank != own:
            assert pd.isna(row.step_peak_bytes)
        else:
            assert row.step_peak_bytes == (own if row.method == "lora" else 100)
    assert (costs["rank"] == own).sum() == 1


def test_under_several_processes_nothing_is_measured(
    tiny_bert: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    costs = table(tiny_bert, adapters(), measured="each")
    assert costs["step_peak_bytes"].isna().all()
    assert costs["note"].str.contains("several processes").all()
