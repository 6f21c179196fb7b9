"""A representation drawn in two dimensions, for people to look at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from headstart.learning.encoders import Features

MAP_COLUMNS = ["target", "representation", "row", "label", "split", "x", "y"]


def project(
    features: Features, splits: pd.DataFrame, max_points: int, perplexity: float, seed: int
) -> pd.DataFrame:
    """Map rows to the plane by t-SNE (van der Maaten and Hinton 2008), started from PCA.

    Near points are alike; distances between far ones, and the axes, mean nothing.

    Args:
        features: the representation, (N, D).
        splits: the splits table; its rows are mapped.
        max_points: at most so many rows are mapped, each label in proportion.
        perplexity: about how many neighbors a point keeps close; less where there are few rows.
        seed: draws the rows and fixes the map.

    Returns:
        The columns of `MAP_COLUMNS`, one row a point, in the order of `row`.
    """
    chosen = _stratified(splits, max_points, seed)
    table = chosen[["target", "row", "label", "split"]].reset_index(drop=True)
    points = _tsne(features.values[table["row"].to_numpy()], perplexity, seed)
    table = table.assign(representation=features.name, x=points[:, 0], y=points[:, 1])
    return table[MAP_COLUMNS]


def _stratified(splits: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """At most `size` rows, drawn at random, every label with its share (to within a row)."""
    shuffled = splits.sort_values("row").sample(frac=1, random_state=seed)
    by_label = shuffled.groupby("label")
    # A row's place among those of its label, in (0, 1): the first ones of every label go first.
    place = (by_label.cumcount() + 0.5) / by_label["row"].transform("size")
    return shuffled.loc[place.sort_values(kind="stable").index[:size]].sort_values("row")


def _tsne(values: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Coordinates (n, 2), float64."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, dimension = values.shape
    if n < 4 or not values.std(axis=0).any():
        # Too few points, or all in one place: nothing to unfold.
        return np.column_stack([np.arange(n, dtype=np.float64), np.zeros(n)])
    with threadpool_limits(1):  # the sums then do not depend on the number of cores
        tsne = TSNE(
            n_components=2,
            init="pca" if dimension > 1 else "random",
            perplexity=min(perplexity, (n - 1) / 3),
            random_state=seed,
        )
        return np.asarray(tsne.fit_transform(values), dtype=np.float64)
