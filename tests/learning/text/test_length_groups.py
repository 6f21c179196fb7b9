"""Batches by length: which rows there are, and how much is padded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.learning.text.length_groups import group_by_length


def padded(batches: list[np.ndarray], lengths: np.ndarray) -> int:
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)


@given(
    lengths=st.lists(st.integers(1, 99), min_size=1, max_size=60),
    size=st.integers(1, 9),
    pooled=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_the_same_rows_in_batches_of_the_same_sizes(
    lengths: list[int], size: int, pooled: int, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(lengths))
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    grouped = group_by_length(batches, np.array(lengths), pooled, np.random.default_rng(seed))
    assert sorted(np.concatenate(grouped).tolist()) == list(range(len(lengths)))
    assert sorted(map(len, grouped)) == sorted(map(len, batches))
    again = group_by_length(batches, np.array(lengths), pooled, np.random.default_rng(seed))
    assert [one.tolist() for one in grouped] == [one.tolist() for one in again]


def test_less_is_padded_and_pools_are_not_mixed() -> None:
    random = np.random.default_rng(0)
    lengths, order = random.integers(1, 100, 240), random.permutation(240)
    batches = np.split(order, 30)
    grouped = group_by_length(batches, lengths, 10, np.random.default_rng(1))
    assert padded(grouped, lengths) < 0.75 * padded(batches, lengths)
    pools = [set(order[start : start + 80].tolist()) for start in (0, 80, 160)]
    assert all(any(set(batch.tolist()) <= pool for pool in pools) for batch in grouped)


def test_long_texts_do_not_all_come_at_one_end() -> None:
    lengths = np.arange(64)
    grouped = group_by_length(np.split(lengths, 16), lengths, 16, np.random.default_rng(0))
    means = [lengths[batch].mean() for batch in grouped]
    assert abs(np.corrcoef(means, np.arange(16))[0, 1]) < 0.6
