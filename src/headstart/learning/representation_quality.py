"""What a representation is like, apart from what it is used for.

With z_i the features of image i on the unit sphere, z_i' those of another view of it, and p_k the
singular values of the centered features as shares of their sum:

    effective rank   exp(- sum_k p_k log p_k)                       (Roy and Vetterli 2007)
    alignment        mean_i  ||z_i - z_i'||^2                       (Wang and Isola 2020)
    uniformity       log mean_{i<k} exp(-2 ||z_i - z_k||^2)         (Wang and Isola 2020)

The effective rank says how many directions are used; it lies between 1 and the number of features.
Alignment (the lower, the less a view changes) and uniformity (the lower, the better the sphere is
used) pull against each other: a representation that maps everything to one point is perfectly
aligned. All three are computed without any label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import Encoder, extract
from headstart.learning.pretext.parameters import ViewParameters
from headstart.learning.views import random_views

COLUMNS = ["target", "representation", "dimension", "images"]
COLUMNS += ["effective_rank", "alignment", "uniformity"]


def effective_rank(features: np.ndarray) -> float:
    """How many directions the features use.

    Args:
        features: shape (n, D).

    Returns:
        Between 1 and min(n - 1, D); 0 where all features are the same.
    """
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    values = np.linalg.svd(centered, compute_uv=False)
    if values.max() <= 1e-9 * max(1.0, np.abs(features).max()):
        return 0.0
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of two views of an image, on the unit sphere.

    Args:
        first: features of one view of each image, shape (n, D).
        second: of the other, in the same order.
    """
    return float(((_on_sphere(first) - _on_sphere(second)) ** 2).sum(axis=1).mean())


def uniformity(features: np.ndarray) -> float:
    """Logarithm of the mean Gaussian potential of all pairs, on the unit sphere.

    Args:
        features: of different images, shape (n, D), n at least 2.
    """
    z = _on_sphere(features)
    pairs = np.triu_indices(len(z), k=1)
    squared = 2 - 2 * (z @ z.T)[pairs]
    return float(np.log(np.exp(-2 * squared).mean()))


def measure(
    encoder: Encoder,
    pictures: np.ndarray,
    rows: np.ndarray,
    *,
    images: int,
    views: ViewParameters,
    seed: int,
    compute: ComputeParameters,
) -> dict[str, Any]:
    """All three of one encoder's representation.

    Args:
        encoder: the encoder.
        pictures: uint8, shape (N, H, W, C).
        rows: rows of them to measure on.
        images: how many of these, at most.
        views: how two views of an image are drawn for the alignment; effective rank and uniformity
            are of the images as they are.
        seed: draws rows and views.
        compute: device, batch size, progress bar.

    Returns:
        dimension, images (how many were used), effective_rank, alignment, uniformity.
    """
    chosen = np.random.default_rng(seed).permutation(rows)[:images]
    plain = np.array(pictures[np.sort(chosen)])
    generator = torch.Generator().manual_seed(seed)
    size = plain.shape[1]
    seen = [
        (random_views(torch.from_numpy(plain), views, generator, size) * 255).round()
        for _ in range(2)
    ]
    quiet = compute.model_copy(update={"progress": False})
    features, *of_views = (
        extract(encoder, x, quiet)
        for x in (plain, *(v.to(torch.uint8).permute(0, 2, 3, 1).numpy() for v in seen))
    )
    return {
        **{"dimension": features.shape[1], "images": len(plain)},
        "effective_rank": effective_rank(features),
        "alignment": alignment(*of_views),
        "uniformity": uniformity(features),
    }


def _on_sphere(features: np.ndarray) -> np.ndarray:
    wide = features.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
