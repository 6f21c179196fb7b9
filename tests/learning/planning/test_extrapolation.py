"""What is extrapolated over batches and layers against what is traced in full."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
from headstart.learning.planning.steps import Job
from headstart.learning.planning.trace import trace

from .planned import BIG, IMAGES, OPT, TEXTS, WORDS, lora

FULL = PlannedMethod(kind="full")
BIT8 = PlannedMethod(kind="full", optimizer="adam8bit")
MOMENTUM = PlannedMethod(kind="full", optimizer="momentum")
LLAMA = PlannedModel(
    transformers={
        **{"model_type": "llama", "hidden_size": 32, "intermediate_size": 80, "vocab_size": 300},
        **{"num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2},
    },
    **{"causal": True, "tokens": 16},
)
# Words outweigh layers, or layers words: the peak is at another place of the step.
FEW_WORDS = PlannedModel(
    transformers={**OPT, "vocab_size": 20, "hidden_size": 64, "word_embed_proj_dim": 64},
    **{"causal": True, "tokens": 4},
)
JOBS = [
    Job(WORDS, FULL),
    Job(WORDS, FULL, "bf16_mixed", gradient_checkpointing=True),
    Job(WORDS, MOMENTUM),
    Job(FEW_WORDS, BIT8, "bf16"),
    Job(FEW_WORDS, FULL, "fp32", gradient_checkpointing=True),
    Job(WORDS, lora(), "bf16"),
    Job(WORDS, lora(kind="qlora"), "bf16", gradient_checkpointing=True),
    Job(WORDS, PlannedMethod(kind="inference"), "fp16"),
    Job(LLAMA, PlannedMethod(kind="inference"), "bf16"),
    Job(LLAMA, PlannedMethod(kind="frozen"), "bf16"),
    Job(LLAMA, lora()),
    Job(TEXTS, FULL),
    Job(IMAGES, FULL),
    Job(IMAGES, PlannedMethod(kind="frozen")),
    Job(IMAGES, PlannedMethod(kind="maml")),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda j: f"{j.method.kind}-{j.precision}")
def test_any_batch_and_depth_is_as_traced_in_full(job):
    cost = measure_cost(job, 2)
    for batch in (3, 9):
        line = trace(job, batch, {})
        assert cost.held(batch).sum(axis=1).max() == pytest.approx(line.held.sum(axis=1).max())
        flops, moved, times = cost.operations(batch)
        assert flops @ times == pytest.approx(line.flops.sum())
        assert moved @ times == pytest.approx(line.moved.sum())
        assert cost.flops(batch) == pytest.approx(line.flops.sum())
    assert cost.sizes.weight_bytes == pytest.approx(cost.held(3)[:, 0].max())


def test_layers_are_left_out_of_deep_models_alone():
    assert measure_cost(Job(WORDS, FULL), 2).extrapolated == OPT["num_hidden_layers"] - 3
    assert measure_cost(Job(TEXTS, FULL), 2).extrapolated == 0


def test_layers_that_differ_are_all_traced():
    model = PlannedModel(
        transformers={
            **{"model_type": "gemma2", "hidden_size": 32, "intermediate_size": 64, "head_dim": 8},
            **{"vocab_size": 200, "num_hidden_layers": 6, "num_attention_heads": 4},
            **{"num_key_value_heads": 2, "sliding_window": 8},
        },
        **{"causal": True, "tokens": 16, "attention": "eager"},
    )
    assert measure_cost(Job(model, FULL), 2).extrapolated == 0


def test_the_parts_of_a_peak_add_up_to_it():
    cost = measure_cost(Job(WORDS, FULL), 2)
    assert sum(cost.peak(5).values()) == pytest.approx(cost.held(5).sum(axis=1).max())
    assert np.all(cost.held(5) >= 0)


def test_a_batch_of_one():
    cost = measure_cost(Job(WORDS, FULL), 1)
    line = trace(Job(WORDS, FULL), 1, {})
    assert sum(cost.peak(1).values()) == pytest.approx(line.held.sum(axis=1).max(), rel=0.01)


def test_gpt3_takes_what_adam_and_lora_are_known_to_take():
    adam = measure_cost(Job(BIG, FULL, "fp16", gradient_checkpointing=True), 1).peak(1)
    parameters = 174_604_283_904
    assert adam["weights"] == pytest.approx(2 * parameters, rel=1e-3)
    assert adam["optimizer"] == pytest.approx(4 * parameters, rel=1e-3)
    assert sum(adam.values()) == pytest.approx(8 * parameters, rel=0.01)
    adapted = measure_cost(Job(BIG, lora(), "fp16", gradient_checkpointing=True), 1).peak(1)
    assert sum(adapted.values()) == pytest.approx(350e9, rel=0.05)  # Hu et al. 2021
    assert adapted["gradients"] + adapted["optimizer"] < 1e9
