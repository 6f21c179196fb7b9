"""TF-IDF and its principal axes: latent semantic analysis (Deerwester et al. 1990).

    x_w = (1 + ln tf_w) (1 + ln((1 + N) / (1 + df_w))),   z = V^T x / |x|

tf counts a word in the text, df the texts of the N unlabeled ones that it stands in; V holds the
first right singular vectors of the rows x / |x| of the unlabeled texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.errors import HeadstartError


def tfidf_svd(
    texts: Sequence[str], unlabeled: np.ndarray, *, components: int, least_texts: int, seed: int
) -> tuple[np.ndarray, int]:
    """The representation of texts, learned from some of them.

    Args:
        texts: all n texts.
        unlabeled: rows of those that words and axes are learned from.
        components: D, at most as many as there are words or texts.
        least_texts: words that stand in fewer texts are left out.
        seed: of the randomized decomposition.

    Returns:
        float32 (n, D), and how many numbers were learned.

    Raises:
        HeadstartError: no word stands in that many texts.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=least_texts)
    try:
        learned = vectorizer.fit_transform([texts[row] for row in unlabeled])
    except ValueError as error:  # an empty vocabulary
        raise HeadstartError(
            f"tfidf_svd: no word stands in {least_texts} of the {len(unlabeled)} texts that it "
            f"learns from ({error}). Lower representation.tfidf_svd.least_texts."
        ) from error
    size = min(components, min(learned.shape) - 1)
    with threadpool_limits(1):  # the sums then do not depend on the number of cores
        svd = TruncatedSVD(max(size, 1), random_state=seed).fit(learned)
        values = svd.transform(vectorizer.transform(texts))
    learned_numbers = svd.components_.size + len(vectorizer.idf_)
    return values.astype(np.float32), int(learned_numbers)
