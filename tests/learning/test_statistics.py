import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headstart.learning.statistics import mean_interval, paired_gain

scores = st.lists(st.floats(-1, 1, allow_nan=False), min_size=2, max_size=12)


def test_interval_by_hand():
    # n = 3, mean 2, s = 1, t(0.975, 2) = 4.302653
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high - 2.0 == pytest.approx(4.3026527 / 3**0.5)
    assert 2.0 - interval.low == pytest.approx(4.3026527 / 3**0.5)


@given(scores, st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_equals_scipys(values, confidence):
    interval = mean_interval(values, confidence)
    if np.std(values) > 1e-9:
        low, high = stats.t.interval(
            confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
        )
        assert interval.low == pytest.approx(low)
        assert interval.high == pytest.approx(high)


@given(scores, st.floats(-0.5, 0.5))
def test_paired_gain_equals_scipys_paired_t_test(values, shift):
    rng = np.random.default_rng(len(values))
    ours = dict(enumerate(values))
    theirs = {s: v - shift + rng.normal() for s, v in ours.items()}
    expected = stats.ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval()
    gain = paired_gain(ours, theirs)
    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx((expected.low, expected.high))


def test_only_shared_seeds_are_paired():
    gain = paired_gain({0: 1.0, 1: 2.0, 7: 50.0}, {1: 1.0, 0: 0.5, 3: -9.0})
    assert gain is not None
    assert (gain.n, gain.mean) == (2, 0.75)
    assert paired_gain({0: 1.0}, {1: 1.0}) is None


def test_one_seed_has_no_interval():
    interval = mean_interval([0.7])
    assert interval.mean == 0.7
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    assert not interval.excludes_zero


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        interval = mean_interval(rng.normal(0.3, 1.0, size=5))
        covered += interval.low <= 0.3 <= interval.high
    assert 0.93 < covered / 2000 < 0.97
