"""The counts of Hu et al. (2021) for GPT-3, and LoRA's formula on a small model."""

from __future__ import annotations

import pytest

from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.sizes import measure_sizes
from headstart.learning.planning.steps import Job

from .planned import BIG, IMAGES, OPT, WORDS, lora


@pytest.mark.parametrize(("rank", "times_fewer"), [(4, 9_272), (1, 37_000)])
def test_adapters_of_gpt3_are_as_many_as_published(rank, times_fewer):
    sizes = measure_sizes(Job(BIG, lora(rank), "fp16"), {})
    assert sizes.adapter_parameters == 2 * 96 * 2 * 12288 * rank
    assert sizes.trained_parameters == sizes.adapter_parameters
    assert 175e9 / sizes.adapter_parameters == pytest.approx(times_fewer, rel=0.003)
    if rank == 4:
        assert sizes.adapter_parameters == 18_874_368


def test_lora_leaves_the_models_own_parameters_out_of_the_trained():
    full = measure_sizes(Job(WORDS, PlannedMethod(kind="full")), {})
    adapted = measure_sizes(Job(WORDS, lora(3)), {})
    assert full.trained_parameters == full.parameters == adapted.parameters
    width, layers = OPT["hidden_size"], OPT["num_hidden_layers"]
    assert adapted.trained_parameters == layers * 2 * (width + width) * 3
    assert adapted.weight_bytes == full.weight_bytes + 4 * adapted.adapter_parameters


def test_four_bits_store_less_and_leave_the_words_as_they_are():
    plain = measure_sizes(Job(WORDS, lora(), "bf16"), {})
    packed = measure_sizes(Job(WORDS, lora(kind="qlora"), "bf16"), {})
    assert packed.parameters == plain.parameters
    words = 2 * OPT["vocab_size"] * OPT["hidden_size"]
    assert words < packed.weight_bytes < 0.55 * plain.weight_bytes


def test_frozen_trains_the_classification_layer_alone():
    sizes = measure_sizes(Job(IMAGES, PlannedMethod(kind="frozen")), {})
    assert sizes.trained == (2 * 256, 2)
