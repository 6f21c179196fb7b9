"""Rotation: by how much was the image turned?

With g_k the turn by k x 90 degrees, k drawn uniformly from {0, 1, 2, 3} for each image
(Gidaris, Singh and Komodakis 2018, equation 3):

    L = - 1/N  sum_i  log softmax(W f(g_{k_i}(x_i)) + b)[k_i]

Only who knows what the thing in the picture is can tell which way up it is.
"""

from __future__ import annotations

import torch
from torch import nn

from headstart.learning.encoders import unnormalize
from headstart.learning.fine_tune import Classifier, cross_entropy
from headstart.learning.pretext.parameters import RotationParameters
from headstart.learning.pretext.task import Batch, Example, PretextTask, to_picture

TURNS = 4


def rotate(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn each square image counterclockwise.

    Args:
        images: shape (n, C, S, S).
        turns: by how many right angles, integers, shape (n,); -k undoes k.

    Returns:
        The turned images, of the same shape.
    """
    turned = torch.empty_like(images)
    for k in range(TURNS):
        chosen = turns % TURNS == k
        turned[chosen] = images[chosen].rot90(k, (2, 3))
    return turned


class Rotation(PretextTask[RotationParameters]):
    """Which of 0, 90, 180 and 270 degrees; the score is the share that is right."""

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """Encoder and a linear layer: (n, 3, H, W) -> (n, 4)."""
        return Classifier(encoder, dimension, TURNS)

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """Turned images, (n, 3, size, size), and their turns, (n,)."""
        views = self.views(images, self.parameters.views, generator)
        turns = torch.randint(TURNS, (len(images),), generator=generator, device=images.device)
        return {"images": rotate(views, turns), "turns": turns}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy of the turns."""
        loss, extras = cross_entropy(model, (batch["images"], batch["turns"]))
        return loss, {"score": extras["train_accuracy"]}

    def chance(self, n: int) -> float:
        """One of four."""
        return 1 / TURNS

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """The turned image, and what the model says."""
        batch = self.batch(images, None, generator)
        pictures = to_picture(unnormalize(batch["images"], self.config))
        said = model(batch["images"]).argmax(1).tolist()
        return [
            Example([picture], [f"turned by {90 * true}°, said {90 * guess}°"])
            for picture, true, guess in zip(pictures, batch["turns"].tolist(), said, strict=True)
        ]
