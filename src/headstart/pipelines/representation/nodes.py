"""Nodes of the representation stage."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageStore
from headstart.pipelines.representation.parameters import RepresentationParameters


def encode_pixels(parameters: RepresentationParameters) -> Any:
    """The encoder `pixels`."""
    from headstart.learning.encoders import pixels_encoder

    return pixels_encoder(parameters.pixels.size)


def encode_pca(images: ImageStore, rows: pd.DataFrame, parameters: RepresentationParameters) -> Any:
    """The encoder `pca`, learned from the source.

    Args:
        images: the source's images, or the target's where there is no source.
        rows: column row: those of them to learn from; no test image is among them.
        parameters: size and number of components.
    """
    from headstart.learning.encoders import fit_pca

    return fit_pca(images.images, rows["row"].to_numpy(), **parameters.pca.model_dump())


def encode_random(parameters: RepresentationParameters) -> Any:
    """The encoder `random`: an untrained network."""
    from headstart.learning.encoders import random_network

    return random_network(**parameters.random.model_dump())


def encode_imagenet(state_dict: dict[str, Any], parameters: RepresentationParameters) -> Any:
    """The encoder `imagenet`: the pretrained network without its classification layer."""
    from headstart.learning.encoders import imagenet_network

    return imagenet_network(state_dict, **parameters.imagenet.model_dump())


def extract_features(images: ImageStore, encoder: Any, compute: ComputeParameters) -> Any:
    """The representation of all images of a target.

    Args:
        images: the target's images.
        encoder: a `headstart.learning.encoders.Encoder`.
        compute: device, batch size, progress bar.

    Returns:
        `headstart.learning.encoders.Features`.
    """
    from headstart.learning.encoders import Features, extract

    values = extract(encoder, images.images, compute, description=f"extract {encoder.name}")
    return Features(encoder.name, values, encoder.parameters)


def draw_map(
    features: Any, splits: pd.DataFrame, parameters: RepresentationParameters
) -> pd.DataFrame:
    """The representation in two dimensions, for people to look at.

    Args:
        features: `headstart.learning.encoders.Features` of the target.
        splits: the target's splits.
        parameters: size and seed of the map.

    Returns:
        The columns of `headstart.learning.projection.MAP_COLUMNS`.
    """
    from headstart.learning.projection import project

    return project(features, splits, **parameters.map.model_dump())
