"""What a pretext task is: pseudo-labels made of the inputs, a head, a loss and pictures of it.

A task is one file beside this one with one class in it. It gets images as they are stored, makes a
batch (inputs and pseudo-labels) of them by random numbers from a generator, and turns model and
batch into a loss; `headstart.learning.pretext.pretrain` does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.encoders import normalize_
from headstart.learning.pretext.parameters import PretextParameters, ViewParameters
from headstart.learning.views import random_views

Batch = dict[str, torch.Tensor]
P = TypeVar("P", bound=PretextParameters)


class CannotLearnError(HeadstartError):
    """The source has nothing that this task could learn from; the task is left out of the run."""


@dataclass(frozen=True)
class Source:
    """What is learned from.

    Attributes:
        images: uint8, shape (N, H, W, C).
        rows: rows of them to learn from, shape (n,).
        labels: name of each row's class, shape (N,), or None: only `supervised` is given any.
    """

    images: np.ndarray
    rows: np.ndarray
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Example:
    """What the task sees and says of one image.

    Attributes:
        pictures: uint8, shape (H, W, 3) each; side by side in the report.
        captions: a few words for each picture.
    """

    pictures: list[np.ndarray]
    captions: list[str]


@dataclass(frozen=True)
class Examples:
    """All examples of one task on one source.

    Attributes:
        source: its name.
        task: its name.
        examples: of some held-out images.
    """

    source: str
    task: str
    examples: list[Example]


class PretextTask(ABC, Generic[P]):
    """One pretext task on one source.

    Args:
        parameters: of the task.
        config: of the encoder that is trained, for `headstart.learning.encoders.preprocess`;
            its `image_size` is the size to train at.
        source: what is learned from; most tasks do not look at it here.

    Raises:
        CannotLearnError: the source has nothing to learn for this task.

    Attributes:
        score: name of the held-out score, for instance "accuracy"; the higher the better.
        lightness: whether the encoder is fed the lightness of images, without their color.
        divisible: whether the loss is a mean over examples, so that a batch may be cut into
            micro-batches.
    """

    score: ClassVar[str] = "accuracy"
    lightness: ClassVar[bool] = False
    divisible: ClassVar[bool] = True

    def __init__(self, parameters: P, config: Mapping[str, Any], source: Source):
        self.parameters = parameters
        self.config = config

    def views(
        self, images: torch.Tensor, views: ViewParameters, generator: torch.Generator
    ) -> torch.Tensor:
        """A random view of each image, as the encoder is fed: (n, 3, size, size).

        Args:
            images: as stored, uint8, shape (n, H, W, C).
            views: how they are drawn.
            generator: of all random numbers.
        """
        size = self.config["image_size"] or images.shape[1]
        return normalize_(random_views(images, views, generator, size), self.config)

    @abstractmethod
    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """The model to be trained: the encoder, as its attribute `encoder`, and a head.

        Args:
            encoder: images (n, 3, H, W) -> (n, D); `headstart.learning.networks.feature_map`
                gives its last feature map (n, D, h, w).
            dimension: D.
        """

    @abstractmethod
    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """Inputs and pseudo-labels.

        Args:
            images: as stored, uint8, shape (n, H, W, C), on the generator's device.
            labels: classes of the source (n,), for `supervised`; None for every other task.
            generator: of all random numbers.

        Returns:
            Named tensors with the n examples along their first dimension.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch, and {"score": the held-out score's value on this batch}."""

    @abstractmethod
    def chance(self, n: int) -> float:
        """The score of a model that has learned nothing, on held-out batches of n images."""

    @abstractmethod
    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """Pictures of inputs, pseudo-labels and predictions, one example an image.

        Args:
            model: trained, in evaluation mode.
            images: held-out ones, as stored, uint8, shape (n, H, W, C).
            generator: of all random numbers.
        """


def to_picture(images: torch.Tensor) -> np.ndarray:
    """Values in [0, 1], shape (..., C, H, W), as pictures: uint8, shape (..., H, W, 3)."""
    pixels = (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    pixels = pixels.movedim(-3, -1)
    return pixels.expand(*pixels.shape[:-1], 3).numpy().copy()
