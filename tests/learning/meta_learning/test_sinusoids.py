from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.meta_learning.counted_uniforms import counted_uniforms
from headstart.learning.meta_learning.sinusoids import Sinusoids


def test_the_generator_is_splitmix64() -> None:
    """Against the published algorithm in Python's unbounded integers."""
    mask = 2**64 - 1

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    seed, index = 12345, 678
    state = mix((mix(seed) + index) & mask)
    expected = []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) & mask
        expected.append((mix(state) >> 11) / 2**53)
    assert counted_uniforms(seed, np.array([index]), 5)[0].tolist() == expected


def test_its_numbers_are_uniform_and_unrelated() -> None:
    from scipy import stats

    draws = counted_uniforms(0, np.arange(4000), 6)
    for column in range(6):
        assert stats.kstest(draws[:, column], "uniform").pvalue > 1e-3
    between = np.corrcoef(np.hstack([draws[:-1], draws[1:]]).T) - np.eye(12)
    assert np.abs(between).max() < 0.06  # four standard errors


@given(seed=st.integers(0, 2**30), indices=st.lists(st.integers(0, 10**9), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_task_depends_on_seed_and_index_alone(seed: int, indices: list[int]) -> None:
    together = Sinusoids(5, 3).episodes(seed, indices)
    for place, index in enumerate(indices):
        alone = Sinusoids(5, 3).episodes(seed, [index])
        for many, one in zip(together, alone, strict=True):
            assert torch.equal(many[place], one[0])
    longer = Sinusoids(5, 30).episodes(seed, indices)
    assert torch.equal(longer.support_x, together.support_x)
    assert torch.equal(longer.query_x[:, :3], together.query_x)


def test_points_lie_on_their_sinusoid_in_the_published_ranges() -> None:
    family, tasks = Sinusoids(10, 20), range(500)
    amplitude, phase = family.curves(3, tasks)
    episodes = family.episodes(3, tasks)
    for x, y in (
        (episodes.support_x, episodes.support_y),
        (episodes.query_x, episodes.query_y),
    ):
        on = amplitude * np.sin(x[:, :, 0].numpy() - phase)
        np.testing.assert_allclose(y[:, :, 0].numpy(), on, atol=2e-6)
        assert -5 <= float(x.min()) < -4.95
        assert 4.95 < float(x.max()) <= 5
    assert 0.1 <= amplitude.min() < 0.2
    assert 4.9 < amplitude.max() <= 5
    assert 0 <= phase.min() < 0.05
    assert math.pi - 0.05 < phase.max() <= math.pi
