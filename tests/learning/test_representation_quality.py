from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import pixels_encoder
from headstart.learning.pretext.parameters import ViewParameters
from headstart.learning.representation_quality import (
    alignment,
    effective_rank,
    measure,
    uniformity,
)


def test_effective_rank_counts_directions_of_equal_strength() -> None:
    axes = np.concatenate([np.eye(5), -np.eye(5)])  # five directions, centered
    embedded = np.concatenate([axes, np.zeros((10, 7))], axis=1)
    assert effective_rank(3 * embedded + 1) == pytest.approx(5)
    assert effective_rank(np.ones((8, 3))) == 0
    line = np.outer(np.arange(6.0), [1.0, 2.0, 3.0])
    assert effective_rank(line) == pytest.approx(1)


def test_effective_rank_by_hand() -> None:
    # Singular values 3 and 1: shares 3/4 and 1/4.
    points = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]]) / np.sqrt(2)
    p = np.array([0.75, 0.25])
    assert effective_rank(points) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_alignment_and_uniformity_by_the_authors_formulas() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 4))
    a, b = (torch.nn.functional.normalize(torch.from_numpy(z), dim=1) for z in (x, y))
    assert alignment(x, y) == pytest.approx(float((a - b).norm(dim=1).pow(2).mean()))
    expected = torch.pdist(a, p=2).pow(2).mul(-2).exp().mean().log()
    assert uniformity(x) == pytest.approx(float(expected))
    assert alignment(x, x) == 0
    assert alignment(x, -3 * x) == pytest.approx(4)


def test_views_that_change_nothing_are_aligned() -> None:
    images = np.random.default_rng(0).integers(256, size=(20, 16, 16, 3), dtype=np.uint8)
    still = ViewParameters(
        smallest_crop=1.0, largest_ratio=1.0, horizontal_flip=0, jitter=0, grayscale=0
    )
    compute = ComputeParameters(device="cpu", progress=False)
    found = measure(
        *(pixels_encoder(16), images, np.arange(20)),
        images=12,
        views=still,
        seed=0,
        compute=compute,
    )
    assert found["alignment"] == pytest.approx(0, abs=1e-9)
    assert (found["dimension"], found["images"]) == (768, 12)
    moving = measure(
        *(pixels_encoder(16), images, np.arange(20)),
        images=12,
        views=ViewParameters(),
        seed=0,
        compute=compute,
    )
    assert moving["alignment"] > 0.01
    assert moving["effective_rank"] == found["effective_rank"] > 1
