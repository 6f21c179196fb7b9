from __future__ import annotations

import pandas as pd
import pytest

from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.gpu_catalogue import Gpu
from headstart.learning.planning.parameters import PlannedMethod, PlanningParameters
from headstart.learning.planning.steps import Job
from headstart.learning.planning.tables import (
    GPU_PLAN_COLUMNS,
    MEMORY_COLUMNS,
    PARTS,
    make_plan,
    memory_by_part,
)

from .planned import BERT, OPT, WORDS, lora

GPUS = [Gpu("tiny", 2e6, 1e11, 1e13, 1e12), Gpu("large", 1e11, 1e12, 1e14, 1e13)]


def parameters(**changes):
    planned = {
        "models": {
            "words": {"transformers": OPT, "causal": True, "tokens": 16},
            "texts": {"transformers": "named", "tokens": 16},
        },
        "methods": {"adam": {"kind": "full"}, "inference": {"kind": "inference"}},
        "plans": [
            {
                **{"models": ["words", "texts"], "methods": ["adam", "inference"]},
                **{"precisions": ["fp32"], "batches": [2, 6]},
            }
        ],
        "gpus": {},
    }
    return PlanningParameters.model_validate({**planned, **changes})


@pytest.fixture(scope="module")
def plan():
    return make_plan(parameters(), GPUS, {"named": BERT})


def test_tables_have_a_row_for_everything(plan):
    memory, gpus = plan
    assert list(memory) == list(MEMORY_COLUMNS)
    assert list(gpus) == list(GPU_PLAN_COLUMNS)
    assert len(memory) == 2 * 2 * 2 * len(PARTS)
    assert len(gpus) == 2 * 2 * 2 * len(GPUS)


def test_parts_add_up_to_the_peak(plan):
    memory, gpus = plan
    keys = ["model", "method", "batch"]
    parts = memory.groupby(keys)["bytes"].sum()
    peaks = gpus.groupby(keys)["peak_bytes"].first()
    pd.testing.assert_series_equal(parts, peaks, check_names=False, check_exact=False, rtol=1e-5)


def test_a_gpu_that_is_too_small_takes_several(plan):
    gpus = plan[1].query("model == 'words' and method == 'adam' and batch == 2").set_index("gpu")
    assert gpus.loc["large", "fits"]
    assert gpus.loc["large", "gpus_needed"] == 1
    assert not gpus.loc["tiny", "fits"]
    assert gpus.loc["tiny", "gpus_needed"] > 1
    assert gpus.loc["large", "largest_batch"] > gpus.loc["tiny", "largest_batch"] >= 2
    assert gpus.loc["large", "step_seconds"] < gpus.loc["tiny", "step_seconds"]


def test_the_cache_is_as_large_as_its_formula_says(plan):
    memory = plan[0].query("model == 'words' and method == 'inference' and part == 'cache'")
    for row in memory.itertuples():
        by_hand = 2 * 4 * OPT["num_hidden_layers"] * row.batch * 16 * OPT["hidden_size"]
        assert row.bytes == row.formula_bytes == by_hand


def test_formulas_of_adapters():
    cost = measure_cost(Job(WORDS, lora(2), "bf16"), 2)
    parts = {row["part"]: row for row in memory_by_part(cost, 2, {})}
    count = 7 * 2 * 64 * 2
    assert parts["adapters"]["bytes"] == parts["adapters"]["formula_bytes"] == 4 * count
    assert parts["gradients"]["formula_bytes"] == 4 * count
    assert parts["weights"]["bytes"] == parts["weights"]["formula_bytes"]
    # Two moments of each number, and a counter for each of the 7 x 2 x 2 tensors.
    assert parts["optimizer"]["formula_bytes"] == 8 * count + 4 * 28
    assert parts["optimizer"]["bytes"] == parts["optimizer"]["formula_bytes"]


def test_weights_of_four_bits_are_as_their_formula_says():
    cost = measure_cost(Job(WORDS, lora(2, "qlora"), "bf16"), 2)
    parts = {row["part"]: row for row in memory_by_part(cost, 2, {})}
    # Norms and biases of the layers stay as they are: much in so narrow a model.
    assert parts["weights"]["bytes"] == pytest.approx(parts["weights"]["formula_bytes"], rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"plans": [{"models": ["word"], "methods": ["adam"], "precisions": ["fp32"]}]},
            "batches",
        ),
        (
            {
                "plans": [
                    {
                        **{"models": ["word"], "methods": ["adam"]},
                        **{"precisions": ["fp32"], "batches": [1]},
                    }
                ]
            },
            "there is no 'word' in models; known: words, texts",
        ),
        (
            {
                "plans": [
                    {
                        **{"models": ["words"], "methods": ["adan"]},
                        **{"precisions": ["fp32"], "batches": [1]},
                    }
                ]
            },
            "there is no 'adan' in methods",
        ),
        (
            {
                "plans": [
                    {
                        **{"models": ["words"], "methods": ["adam"]},
                        **{"precisions": ["fp8"], "batches": [1]},
                    }
                ]
            },
            r"plans.0.precisions.0[\s\S]*fp8",
        ),
        ({"methods": {"adam": {"kind": "fine"}}}, r"methods.adam.kind"),
        ({"gpus": {"usable_share": 1.5}}, r"usable_share"),
    ],
)
def test_wrong_parameters_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        parameters(**changes)


def test_a_plan_of_adam_counts_all_parameters():
    cost = measure_cost(Job(WORDS, PlannedMethod(kind="full")), 2)
    rows = {row["part"]: row for row in memory_by_part(cost, 2, {})}
    assert rows["weights"]["bytes"] == rows["weights"]["formula_bytes"]
    assert rows["gradients"]["formula_bytes"] == 4 * cost.sizes.parameters
