"""Augmentation of a batch of images, on its device, each image by random numbers of its own."""

from __future__ import annotations

import math
from functools import partial

import torch

from headstart.learning.configuration import AugmentationParameters


def augment(
    images: torch.Tensor, generator: torch.Generator, parameters: AugmentationParameters
) -> torch.Tensor:
    """Vary a batch, each image by random numbers of its own.

    Args:
        images: shape (n, C, H, W), on the generator's device.
        generator: of the random numbers.
        parameters: which variations, and how strong.

    Returns:
        The varied images, of the same shape.
    """
    n, _, height, width = images.shape
    draw = partial(torch.rand, n, generator=generator, device=images.device)
    if parameters.horizontal_flip:
        images = torch.where((draw() < 0.5)[:, None, None, None], images.flip(3), images)
    if parameters.vertical_flip:
        images = torch.where((draw() < 0.5)[:, None, None, None], images.flip(2), images)
    if parameters.shift > 0:
        down = _mirrored(height, parameters.shift * height, draw())
        right = _mirrored(width, parameters.shift * width, draw())
        picked = torch.arange(n, device=images.device)[:, None, None]
        # Advanced indices on both sides of the channels put these last: (n, H, W, C).
        images = images[picked, :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _mirrored(size: int, most: float, draw: torch.Tensor) -> torch.Tensor:
    """Where pixels come from after a shift, mirrored at the edges, shape (n, size).

    The shift is a whole number of pixels between -most and most; `draw` is uniform in [0, 1).
    """
    most = math.floor(most)
    shift = (draw * (2 * most + 1)).floor().long() - most
    position = torch.arange(size, device=draw.device)[None] + shift[:, None]
    position = position.abs()
    return torch.where(position >= size, 2 * (size - 1) - position, position)
