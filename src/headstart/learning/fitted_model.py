"""A fitted model: an encoder and a head that together turn images into class probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.learning import linear_probe, nearest_neighbors
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import Encoder, extract


@dataclass(frozen=True)
class FittedModel:
    """Everything that a prediction needs, as plain data.

    Attributes:
        config: `target`, `track`, `classes` (labels, in the order of the probabilities),
            `representation`, `method`, `image` (size, mode and resize of the images it was
            fitted on), `chosen` (hyper-parameters), scores and whatever the model card tells.
        encoder: makes the representation; for `fine_tune` and `from_scratch` the trained one.
        head: for `nearest_neighbors` what `nearest_neighbors.predict` needs ("features", "labels",
            "k", "temperature", "smoothing"); for every other method a linear layer, "weight"
            (K, D) and "bias" (K,).
    """

    config: dict[str, Any]
    encoder: Encoder
    head: dict[str, np.ndarray]


def predict(
    model: FittedModel,
    images: np.ndarray,
    compute: ComputeParameters,
    batch_size: int | None = None,
) -> np.ndarray:
    """Class probabilities of new images.

    Args:
        model: the fitted model.
        images: uint8, shape (n, H, W, C), decoded as `config["image"]` says.
        compute: device, batch size, and whether to show a progress bar.
        batch_size: images a batch; None: that of `compute`.

    Returns:
        float64, shape (n, K); rows sum to one, columns in the order of `config["classes"]`.
    """
    features = extract(model.encoder, images, compute, batch_size, description="predict")
    if model.config["method"] == "nearest_neighbors":
        return nearest_neighbors.predict(model.head, features, len(model.config["classes"]))
    return linear_probe.predict(model.head, features)
