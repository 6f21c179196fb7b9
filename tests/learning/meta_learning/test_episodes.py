from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool


def pool(classes: int = 8, each: int = 6, side: int = 2, seed: int = 0) -> ClassPool:
    """Images that tell their row; class numbers have gaps, rows are shuffled."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes) * 3 + 1, each))
    inputs = np.arange(len(labels), dtype=np.float32)[:, None, None, None]
    return ClassPool("letters", np.broadcast_to(inputs, (len(labels), 1, side, side)), labels)


@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**40),
    ways=st.integers(2, 8),
    shots=st.integers(1, 3),
    queries=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_an_episode_has_distinct_examples_of_distinct_classes(
    seed: int, index: int, ways: int, shots: int, queries: int
) -> None:
    source = pool()
    family = ClassEpisodes(source, np.unique(source.labels), ways, shots, queries)
    episodes = family.episodes(seed, [index])
    for name, x, y, rounds in (
        ("support", episodes.support_x, episodes.support_y, shots),
        ("query", episodes.query_x, episodes.query_y, queries),
    ):
        assert x.shape == (1, rounds * ways, 1, 2, 2), name
        # In rounds: one example of each class after the other.
        assert y[0].tolist() == list(range(ways)) * rounds
    rows = torch.cat([episodes.support_x, episodes.query_x], 1)[0, :, 0, 0, 0].int().numpy()
    assert len(set(rows)) == len(rows)
    labels = torch.cat([episodes.support_y, episodes.query_y], 1)[0].numpy()
    classes = [np.unique(source.labels[rows[labels == way]]) for way in range(ways)]
    assert all(len(c) == 1 for c in classes)
    assert len({int(c[0]) for c in classes}) == ways


@given(seed=st.integers(0, 99), indices=st.lists(st.integers(0, 999), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_an_episode_depends_on_seed_and_index_alone(seed: int, indices: list[int]) -> None:
    source = pool()
    family = ClassEpisodes(source, np.unique(source.labels), 4, 2, 1)
    together = family.episodes(seed, indices)
    for place, index in enumerate(indices):
        alone = family.episodes(seed, [index])
        for many, one in zip(together, alone, strict=True):
            assert torch.equal(many[place], one[0])


def test_other_seeds_and_indices_are_other_episodes() -> None:
    source = pool(classes=30)
    family = ClassEpisodes(source, np.unique(source.labels), 5, 1, 1)
    drawn = {tuple(family.rows(s, i).ravel()) for s in range(5) for i in range(40)}
    assert len(drawn) == 200


def test_only_the_classes_asked_for_occur() -> None:
    source = pool()
    wanted = np.array([1, 7, 10])
    family = ClassEpisodes(source, wanted, 3, 1, 1)
    seen = {int(source.labels[r]) for i in range(20) for r in family.rows(0, i).ravel()}
    assert seen == set(wanted.tolist())


def test_bytes_become_shares_and_features_stay() -> None:
    image = ClassPool("i", np.array([[[[0]]], [[[255]]]], dtype=np.uint8), np.array([0, 1]))
    assert image.load(np.array([[0, 1]])).flatten().tolist() == [0.0, 1.0]
    features = ClassPool("f", np.array([[300.0, -2.0]]), np.array([0]))
    assert features.load(np.array([0])).tolist() == [[300.0, -2.0]]


def test_too_few_classes_or_examples_are_errors_with_the_numbers() -> None:
    source = pool(classes=4, each=6)
    classes = np.unique(source.labels)
    with pytest.raises(HeadstartError, match=r"letters: there are 4 classes .* 5 ways"):
        ClassEpisodes(source, classes, 5, 1, 1)
    with pytest.raises(HeadstartError, match=r"1 classes to draw from"):
        ClassEpisodes(source, classes[:1], 2, 1, 1)
    with pytest.raises(HeadstartError, match=r"needs 7 .*2 shots \+ 5 queries.*4 of 4.*has 6"):
        ClassEpisodes(source, classes, 2, 2, 5)
    with pytest.raises(HeadstartError, match=r"1 of 5 classes have fewer \(class 99 has 0\)"):
        ClassEpisodes(source, np.append(classes, 99), 2, 1, 1)
