"""GloVe: texts as weighted means of word vectors (Pennington et al. 2014; Arora et al. 2017).

    z = 1/n sum_i a / (a + p(w_i)) v(w_i)

over the n words w_i of a text that have a vector v; p(w) is the share of w among the words of the
unlabeled texts. Frequent words say little and count little; a -> infinity is the plain mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


@dataclass(frozen=True)
class WordVectors:
    """Vectors of words.

    Attributes:
        rows: word, in lower case -> row of the matrix.
        matrix: shape (V, D); may be memory-mapped.
    """

    rows: Mapping[str, int]
    matrix: np.ndarray


def words(text: str) -> list[str]:
    """The words of a text, in lower case, punctuation marks apart."""
    return _WORD.findall(text.lower())


def word_shares(texts: Iterable[str]) -> dict[str, float]:
    """p(w): the share of each word among all words of the texts."""
    counts = Counter(word for text in texts for word in words(text))
    total = sum(counts.values())
    return {word: n / total for word, n in counts.items()}


def average_words(
    texts: Sequence[str], vectors: WordVectors, shares: Mapping[str, float], smoothing: float
) -> np.ndarray:
    """The weighted mean z of each text.

    Args:
        texts: n texts.
        vectors: of words.
        shares: p(w), 0 for a word that is not in it.
        smoothing: a, above zero; about 1e-3.

    Returns:
        float32, shape (n, D); zeros for a text none of whose words has a vector.
    """
    z = np.zeros((len(texts), vectors.matrix.shape[1]), dtype=np.float32)
    for number, text in enumerate(texts):
        known = [word for word in words(text) if word in vectors.rows]
        if known:
            weight = np.array([smoothing / (smoothing + shares.get(w, 0.0)) for w in known])
            rows = np.asarray(vectors.matrix[[vectors.rows[word] for word in known]])
            z[number] = weight @ rows / len(known)
    return z
