"""Supervised pretraining, the baseline of all pretext tasks: the source's own labels.

    L = - 1/N  sum_i  log softmax(W f(x_i) + b)[y_i]

with y_i the class of the source's image i, which need not be a class of the target. It runs where
the source has labels; the target's labels are never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.learning.encoders import unnormalize
from headstart.learning.fine_tune import Classifier, cross_entropy
from headstart.learning.pretext.parameters import SupervisedParameters
from headstart.learning.pretext.task import (
    Batch,
    CannotLearnError,
    Example,
    PretextTask,
    Source,
    to_picture,
)


class Supervised(PretextTask[SupervisedParameters]):
    """Which class of the source; the score is the share that is right.

    Attributes:
        classes: names of the source's classes, sorted.
    """

    def __init__(self, parameters: SupervisedParameters, config: Mapping[str, Any], source: Source):
        super().__init__(parameters, config, source)
        names = [] if source.labels is None else source.labels[source.rows]
        counts = pd.Series(names, dtype="str").value_counts()
        self.classes = sorted(counts.index)
        if len(self.classes) < 2:
            raise CannotLearnError(
                "the source has no labels of its own to learn from"
                if not self.classes
                else f"all labels of the source are '{self.classes[0]}'"
            )
        # Who always says the most frequent class is right as often as it is there.
        self._most_frequent = float(counts.max() / counts.sum())

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """Place of each label among the classes, int64; -1 for a label that is missing."""
        return pd.Categorical(labels, categories=self.classes).codes.astype(np.int64)

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """Encoder and a linear layer: (n, 3, H, W) -> (n, K)."""
        return Classifier(encoder, dimension, len(self.classes))

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """Varied images, (n, 3, size, size), and their classes, (n,)."""
        assert labels is not None
        views = self.views(images, self.parameters.views, generator)
        return {"images": views, "labels": labels}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy of the classes."""
        loss, extras = cross_entropy(model, (batch["images"], batch["labels"]))
        return loss, {"score": extras["train_accuracy"]}

    def chance(self, n: int) -> float:
        """The share of the most frequent class."""
        return self._most_frequent

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """The image as it is seen, and what the model says."""
        unknown = torch.full((len(images),), -1, device=images.device)
        seen = self.batch(images, unknown, generator)["images"]
        said = model(seen).argmax(1).tolist()
        return [
            Example([picture], [f"said {self.classes[guess]}"])
            for picture, guess in zip(to_picture(unnormalize(seen, self.config)), said, strict=True)
        ]
