"""The map of a representation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.encoders import Features
from headstart.learning.projection import MAP_COLUMNS, _stratified, project


def table(labels: list[str]) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "target": "some",
            "row": np.arange(n)[::-1],  # not in order, and row numbers are not positions
            "label": labels,
            "split": ["test" if i % 4 == 0 else "development" for i in range(n)],
        }
    )


def features(n: int, dimension: int = 8, seed: int = 0) -> Features:
    values = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return Features("pixels", values, 0)


def test_it_is_the_same_every_time_and_in_the_order_of_rows():
    splits = table(["a", "b"] * 20)
    one = project(features(40), splits, max_points=30, perplexity=30, seed=1)
    two = project(features(40), splits, max_points=30, perplexity=30, seed=1)
    pd.testing.assert_frame_equal(one, two)
    assert list(one.columns) == MAP_COLUMNS
    assert one["row"].is_monotonic_increasing
    assert len(one) == 30
    merged = one.merge(splits, on="row")
    assert (merged["label_x"] == merged["label_y"]).all()
    assert (merged["split_x"] == merged["split_y"]).all()
    assert (one["representation"] == "pixels").all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("dimension", [1, 2, 8])
def test_few_points_are_mapped_all_the_same(n, dimension):
    mapped = project(features(n, dimension), table(["a"] * n), 600, perplexity=30, seed=0)
    assert len(mapped) == n
    assert np.isfinite(mapped[["x", "y"]]).all(axis=None)


def test_a_representation_that_is_the_same_for_all_is_mapped():
    flat = Features("pca", np.ones((20, 4), dtype=np.float32), 0)
    mapped = project(flat, table(["a"] * 20), 600, perplexity=5, seed=0)
    assert np.isfinite(mapped[["x", "y"]]).all(axis=None)


def test_what_is_far_apart_stays_apart():
    values = features(60).values.copy()
    splits = table(["near"] * 30 + ["far"] * 30)
    far = splits.loc[splits["label"] == "far", "row"].to_numpy()
    values[far] += 50
    mapped = project(Features("random", values, 0), splits, 600, perplexity=10, seed=0)
    points = mapped[["x", "y"]].to_numpy()
    own = (mapped["label"] == "far").to_numpy()
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (own[distance.argmin(axis=1)] == own).all()


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    points=st.integers(1, 120),
    seed=st.integers(0, 99),
)
def test_every_label_keeps_its_share(sizes, points, seed):
    splits = table([f"label {i}" for i, n in enumerate(sizes) for _ in range(n)])
    drawn = _stratified(splits, points, seed)
    assert len(drawn) == min(points, len(splits))
    assert drawn["row"].is_unique
    shares = drawn["label"].value_counts()
    for i, n in enumerate(sizes):
        expected = len(drawn) * n / len(splits)
        assert abs(shares.get(f"label {i}", 0) - expected) < len(sizes) / 2 + 1
