"""GloVe's weighted means and TF-IDF with its principal axes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.errors import HeadstartError
from headstart.learning.text.tfidf_svd import tfidf_svd
from headstart.learning.text.word_vectors import WordVectors, average_words, word_shares, words

VECTORS = WordVectors({"cat": 0, "dog": 2}, np.array([[1.0, 0], [9, 9], [0, 2]]))


def test_words_are_lower_case_and_apart_from_marks() -> None:
    assert words("The cat's tail, again.") == ["the", "cat's", "tail", ",", "again", "."]


def test_the_weighted_mean_against_a_hand_computation() -> None:
    shares = word_shares(["cat cat dog bird"])
    assert shares == {"cat": 0.5, "dog": 0.25, "bird": 0.25}
    z = average_words(["Cat dog unknown", "nothing"], VECTORS, shares, smoothing=0.5)
    cat, dog = 0.5 / (0.5 + 0.5), 0.5 / (0.5 + 0.25)
    np.testing.assert_allclose(z, [[cat * 1 / 2, dog * 2 / 2], [0, 0]], rtol=1e-6)


def test_a_large_smoothing_is_the_plain_mean() -> None:
    z = average_words(["cat dog dog"], VECTORS, {"cat": 0.9}, smoothing=1e9)
    np.testing.assert_allclose(z, [[1 / 3, 4 / 3]], rtol=1e-6)


def test_tfidf_svd_keeps_the_inner_products_of_the_formula() -> None:
    """With all axes kept, z z^T is x x^T, and x is the docstring's formula."""
    texts = ["aa bb bb", "aa cc", "bb cc cc dd", "dd aa bb", "cc dd"]
    z, learned = tfidf_svd(texts, np.arange(5), components=4, least_texts=1, seed=0)
    names = ["aa", "bb", "cc", "dd"]
    counts = np.array([[text.split().count(name) for name in names] for text in texts])
    df = (counts > 0).sum(axis=0)
    tf = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    x = tf * (1 + np.log((1 + 5) / (1 + df)))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    # Three of four axes are kept (sklearn keeps one less than there are words).
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    expected = (u[:, :3] * s[:3]) @ (u[:, :3] * s[:3]).T
    np.testing.assert_allclose(z @ z.T, expected, atol=1e-5)
    assert learned == 3 * 4 + 4
    assert math.isfinite(z.sum())


def test_only_the_unlabeled_texts_are_learned_from() -> None:
    texts = ["aa bb", "aa bb cc", "bb cc", "zz zz zz"]
    z, _ = tfidf_svd(texts, np.arange(3), components=2, least_texts=1, seed=0)
    assert not z[3].any()  # none of its words is known


def test_no_common_word_is_said() -> None:
    with pytest.raises(HeadstartError, match="no word stands in 3 of the 2 texts"):
        tfidf_svd(["aa", "bb"], np.arange(2), components=2, least_texts=3, seed=0)
