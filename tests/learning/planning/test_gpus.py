from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.gpu_catalogue import Gpu, gpus_of
from headstart.learning.planning.gpus import (
    gpus_needed,
    held_by_each,
    largest,
    step_seconds,
)
from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.steps import Job

from .planned import WORDS, lora


@pytest.fixture(scope="module")
def cost():
    return measure_cost(Job(WORDS, PlannedMethod(kind="full")), 2)


@pytest.fixture(scope="module")
def mixed():
    return measure_cost(Job(WORDS, PlannedMethod(kind="full"), "fp16_mixed"), 2)


def table(**changes):
    rows = {"gpu": ["a", "b"], "memory_gib": [1, 80], "bandwidth_gb_s": [100, 2000]}
    rows |= {"half_tflops": [10, 300], "single_tflops": [5, 20], "source": ["x", "y"]}
    return pd.DataFrame({**rows, **changes})


def test_a_catalogue_is_read_in_its_units():
    small, big = gpus_of(table())
    assert small == Gpu("a", 2**30, 100e9, 10e12, 5e12)
    assert gpus_of(table(), ["b"]) == [big]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_gib": [1, -80]}, r"memory_gib of 'b' is -80.*above zero"),
        ({"bandwidth_gb_s": ["fast", 1]}, r"bandwidth_gb_s of 'a' is fast"),
        ({"half_tflops": [None, 1]}, r"half_tflops of 'a'"),
        ({"single_tflops": [np.inf, 1]}, r"single_tflops of 'a'"),
        ({"gpu": ["a", "a"]}, r"'a' stands there twice"),
    ],
)
def test_a_damaged_catalogue_is_refused(changes, message):
    with pytest.raises(HeadstartError, match=message):
        gpus_of(table(**changes))


def test_a_missing_column_and_an_unknown_gpu_are_named():
    with pytest.raises(HeadstartError, match="no column 'memory_gib'"):
        gpus_of(table().drop(columns="memory_gib"))
    with pytest.raises(HeadstartError, match=r"has no 'c'. It has a, b"):
        gpus_of(table(), ["a", "c"])


@given(st.integers(0, 300), st.integers(1, 200))
def test_the_largest_is_the_last_that_holds(last, most):
    assert largest(lambda n: n <= last, most) == min(last, most)


@given(batch=st.integers(1, 500))
def test_the_largest_batch_fits_and_one_more_does_not(cost, batch):
    memory = held_by_each(cost, batch, 1, "fsdp") + 1
    most = largest(lambda b: held_by_each(cost, b, 1, "fsdp") <= memory, 10_000)
    assert most >= batch
    assert held_by_each(cost, most, 1, "fsdp") <= memory
    assert held_by_each(cost, most + 1, 1, "fsdp") > memory


@given(batch=st.integers(1, 50), more=st.integers(1, 50), share=st.floats(0.5, 3))
def test_more_memory_never_allows_less(cost, batch, more, share):
    memory = share * held_by_each(cost, batch, 1, "fsdp")
    counts = [gpus_needed(cost, batch, m, "fsdp", 512) for m in (memory, 1.5 * memory)]
    few, many = (512 + 1 if c is None else c for c in reversed(counts))
    assert few <= many
    assert held_by_each(cost, batch + more, 1, "ddp") >= held_by_each(cost, batch, 1, "ddp")


@given(batch=st.integers(1, 20), share=st.floats(0.3, 1.2))
def test_as_many_gpus_as_needed_and_not_one_more(cost, batch, share):
    memory = share * held_by_each(cost, batch, 1, "fsdp")
    needed = gpus_needed(cost, batch, memory, "fsdp", 512)
    if needed is None:
        assert held_by_each(cost, batch, 512, "fsdp") > memory
        return
    assert held_by_each(cost, batch, needed, "fsdp") <= memory
    if needed > 1:
        assert held_by_each(cost, batch, 1, "fsdp") > memory
    if needed > 2:
        assert held_by_each(cost, batch, needed - 1, "fsdp") > memory


def test_shards_divide_what_is_stored_and_not_the_activations(cost):
    held, sizes = cost.held(4), cost.sizes
    gathered = 4 * (sizes.outside + 3 * sizes.layer)
    shared = [held_by_each(cost, 4, n, "fsdp") - gathered for n in (2, 4, 10**9)]
    assert shared[0] > shared[1] > shared[2]
    assert shared[2] == pytest.approx(held[:, 3].max(), rel=1e-6)
    exact = (held[:, :3].sum(axis=1) / 4 + held[:, 3]).max()
    assert shared[1] == pytest.approx(exact, rel=0.02)


def test_ddp_shares_nothing(cost):
    alone = held_by_each(cost, 4, 1, "ddp")
    assert held_by_each(cost, 4, 8, "ddp") == alone
    assert gpus_needed(cost, 4, alone, "ddp", 100) == 1
    assert gpus_needed(cost, 4, 0.99 * alone, "ddp", 100) is None


def test_copies_of_all_weights_are_not_gathered_at_once(mixed):
    assert mixed.half is not None
    many = held_by_each(mixed, 2, 10**9, "fsdp")
    sizes = mixed.sizes
    activations = mixed.half.held(2)[:, 3].max()
    gathered = 2 * (sizes.outside + 2 * sizes.layer) + 4 * sizes.layer
    assert many == pytest.approx(activations + gathered, rel=0.05)


def test_a_step_takes_as_long_as_the_slower_of_arithmetic_and_memory(cost):
    flops, moved, times = cost.operations(4)

    def seconds(gpu: Gpu, efficiency: float = 1.0, launch: float = 0.0) -> float:
        return step_seconds(cost, 4, gpu, efficiency=efficiency, launch=launch)

    arithmetic, memory = Gpu("", 1, 1e30, 1e12, 1e12), Gpu("", 1, 1e9, 1e30, 1e30)
    assert seconds(arithmetic) == pytest.approx(flops @ times / 1e12)
    assert seconds(memory) == pytest.approx(moved @ times / 1e9)
    assert seconds(memory, efficiency=0.5) == pytest.approx(2 * (moved @ times) / 1e9)
    both = seconds(Gpu("", 1, 1e9, 1e12, 1e12))
    assert seconds(memory) <= both <= seconds(memory) + seconds(arithmetic)
    launched = times[moved > 0].sum()
    assert seconds(Gpu("", 1, 1e30, 1e30, 1e30), launch=1e-3) == pytest.approx(1e-3 * launched)


def test_half_precision_is_as_fast_as_half_precision_is():
    gpu = Gpu("", 1, 1e30, half=4e12, single=1e12)
    seconds = {}
    for precision in ("fp32", "bf16", "bf16_mixed"):
        cost = measure_cost(Job(WORDS, lora(), precision), 2)
        seconds[precision] = step_seconds(cost, 4, gpu, efficiency=1.0, launch=0.0)
    assert seconds["bf16"] == pytest.approx(seconds["fp32"] / 4)
    assert seconds["bf16_mixed"] == pytest.approx(seconds["fp32"] / 4)
