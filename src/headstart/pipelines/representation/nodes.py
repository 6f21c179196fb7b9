"""Nodes of the representation stage."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageStore
from headstart.learning.pretext.parameters import NetworkParameters
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


def encode_random(network: NetworkParameters) -> Any:
    """The encoder `random`: the network that the pretext tasks train, untrained."""
    from headstart.learning.encoders import random_network

    return random_network(**network.model_dump())


def encode_imagenet_untrained(
    parameters: RepresentationParameters, network: NetworkParameters
) -> Any:
    """The encoder `imagenet_untrained`: the network of `imagenet` with its initial weights."""
    from headstart.learning.encoders import random_network

    return random_network(
        **parameters.imagenet.model_dump(), seed=network.seed, name="imagenet_untrained"
    )


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
        `headstart.learning.encoders.Features`; of width 0 where there is no such encoder.
    """
    import numpy as np

    from headstart.learning.encoders import Features, extract

    if encoder.left_out:
        nothing = np.zeros((len(images.images), 0), dtype=np.float32)
        return Features(encoder.name, nothing, encoder_parameters=0)
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
    from headstart.learning.projection import MAP_COLUMNS, project

    if features.left_out:
        return pd.DataFrame(columns=MAP_COLUMNS)
    return project(features, splits, **parameters.map.model_dump())


def measure_quality(
    target: str,
    images: ImageStore,
    encoder: Any,
    splits: pd.DataFrame,
    parameters: RepresentationParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """What a representation is like, apart from what it is used for.

    Args:
        target: name of the target.
        images: its images.
        encoder: `headstart.learning.encoders.Encoder`.
        splits: the target's splits; development images are measured.
        parameters: which images, how their views are drawn.
        compute: device, batch size, progress bar.

    Returns:
        One row with the columns of `headstart.learning.representation_quality.COLUMNS`; none
        where there is no such encoder.
    """
    from headstart.learning.representation_quality import COLUMNS, measure

    rows = splits.loc[splits["split"] == "development", "row"].to_numpy()
    if encoder.left_out:
        return pd.DataFrame(columns=COLUMNS)
    options = {name: getattr(parameters.quality, name) for name in ("images", "views", "seed")}
    found = measure(encoder, images.images, rows, **options, compute=compute)
    return pd.DataFrame([{"target": target, "representation": encoder.name, **found}])[COLUMNS]
