"""Colorization: which colors does a picture have, of which only the lightness is seen?

With Z the soft encoding of a pixel's color over Q bins of the ab plane, and P what the network
says (Zhang, Isola and Efros 2016, equations 2 to 4):

    L = - 1/N  sum_pixels  v(Z)  sum_q  Z_q log P_q        v(Z) = w_q*,  q* = the color's own bin
    w_q  proportional to  1 / ((1 - lambda) p_q + lambda / Q),        sum_q p_q w_q = 1

p is how often bins occur in the source, smoothed by a Gaussian: without the weights w the network
would learn that everything is grayish.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from headstart.learning.color import to_lab, to_rgb
from headstart.learning.encoders import normalize_, preprocess
from headstart.learning.networks import feature_map
from headstart.learning.pretext.color_bins import ColorBins
from headstart.learning.pretext.parameters import ColorizationParameters
from headstart.learning.pretext.task import (
    Batch,
    CannotLearnError,
    Example,
    PretextTask,
    Source,
    to_picture,
)

_AT_A_TIME = 64  # images, while the prior is counted


class Colorizer(nn.Module):
    """Encoder and one convolution: (n, 3, H, W) -> logits of the bins, (n, Q, h u, w u).

    Each position of the feature map, of h x w, speaks for u x u places of the image.

    Args:
        encoder: the network.
        dimension: D, channels of its feature map.
        bins: Q.
        upsampling: u.
    """

    def __init__(self, encoder: nn.Module, dimension: int, bins: int, upsampling: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Conv2d(dimension, bins * upsampling**2, 1), nn.PixelShuffle(upsampling)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.head(feature_map(self.encoder, images))
        return logits


class Colorization(PretextTask[ColorizationParameters]):
    """The color of each place, given lightness alone.

    The score is the share of the deviance explained, with the weights of the loss:
    D^2 = 1 - (L - H) / (L_0 - H), where H is the loss of the truth and L_0 that of the one
    distribution, the same for all places, that fits this very batch best. It is 1 for the truth,
    and nobody who does not look at the picture gets above 0 (McCullagh and Nelder 1989; the
    deviance of one distribution for all is that of an intercept).

    Attributes:
        weights: w, shape (Q,).
    """

    score = "deviance_explained"
    lightness = True

    def __init__(
        self, parameters: ColorizationParameters, config: Mapping[str, Any], source: Source
    ):
        super().__init__(parameters, config, source)
        self.bins = ColorBins(parameters.bin_size, parameters.neighbors, parameters.sigma)
        self.weights = rebalance(self._prior(source), parameters.uniform_share)

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """See `Colorizer`."""
        return Colorizer(encoder, dimension, len(self.bins), self.parameters.upsampling)

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """What the encoder is fed, (n, 3, size, size), and the true colors, (n, 2, size, size)."""
        lab = to_lab(self._resized(images))
        return {"images": normalize_(lab[:, :1] / 100, self.config), "ab": lab[:, 1:]}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Rebalanced cross-entropy of the colors, averaged to the resolution of the logits."""
        logits = model(batch["images"]).float()
        ab = F.adaptive_avg_pool2d(batch["ab"], logits.shape[2:])
        self.bins.to(ab.device)
        bins, shares = self.bins.encode(ab.movedim(1, -1))
        weights = self.weights.to(ab.device)[bins[..., 0]]
        said = logits.movedim(1, -1).log_softmax(-1).gather(-1, bins)
        loss = -(weights * (shares * said).sum(-1)).mean()
        with torch.no_grad():
            weighted = weights[..., None] * shares
            truth = torch.special.entr(shares).sum(-1).mul(weights).mean()
            total = loss.new_zeros(len(self.bins)).index_add(0, bins.flatten(), weighted.flatten())
            constant = weights.mean() * torch.special.entr(total / total.sum()).sum()
            # Images of one color alone leave nothing to explain.
            deviance = (constant - truth).clamp(min=torch.finfo(loss.dtype).eps)
            score = 1 - (loss - truth) / deviance
        return loss, {"score": score}

    def chance(self, n: int) -> float:
        """0, whatever n: the most that is reached without looking at the pictures."""
        return 0.0

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """Lightness, the true colors, and the predicted ones on the same lightness."""
        batch = self.batch(images, None, generator)
        logits = model(batch["images"]).float().movedim(1, -1)
        ab = self.bins.to(logits.device).decode(logits, self.parameters.temperature).movedim(-1, 1)
        ab = F.interpolate(ab, batch["ab"].shape[2:], mode="bilinear", align_corners=False)
        true = self._resized(images)
        lightness = to_lab(true)[:, :1]
        predicted = to_rgb(torch.cat([lightness, ab], dim=1))
        captions = ["lightness: what it sees", "true color", "predicted color"]
        columns = (to_picture(x) for x in (lightness / 100, true, predicted))
        return [Example(list(pictures), captions) for pictures in zip(*columns, strict=True)]

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        """Values in [0, 1], shape (n, 3, size, size)."""
        plain = {"channels": 3, "image_size": self.config["image_size"], "mean": [0], "std": [1]}
        return preprocess(images, plain)

    def _prior(self, source: Source) -> torch.Tensor:
        """How often the source's pixels are in each bin, smoothed by a Gaussian, shape (Q,).

        Raises:
            CannotLearnError: the source has no color.
        """
        if source.images.shape[3] == 1:
            raise CannotLearnError(
                "the source's images are gray: there is no color to learn from; give it a source "
                "of color photographs"
            )
        count = min(len(source.rows), self.parameters.prior_images)
        rows = source.rows[np.linspace(0, len(source.rows) - 1, count).round().astype(int)]
        counts, chroma = torch.zeros(len(self.bins)), 0.0
        for start in range(0, count, _AT_A_TIME):
            images = torch.from_numpy(np.array(source.images[rows[start : start + _AT_A_TIME]]))
            ab = to_lab(self._resized(images))[:, 1:]
            counts += self.bins.nearest(ab.movedim(1, -1)).flatten().bincount(minlength=len(counts))
            chroma += ab.norm(dim=1).mean(dim=(1, 2)).sum().item() / count
        if chroma < self.parameters.least_chroma:
            raise CannotLearnError(
                "the source's images are gray: there is no color to learn from; their mean chroma "
                f"is {chroma:.2g}, least_chroma is {self.parameters.least_chroma:g}. Give it a "
                "source of color photographs"
            )
        return smooth(counts / counts.sum(), self.bins.centers, self.parameters.sigma)


def smooth(prior: torch.Tensor, centers: torch.Tensor, sigma: float) -> torch.Tensor:
    """Spread each bin's probability over the bins around it by a Gaussian.

    Args:
        prior: probabilities, shape (Q,).
        centers: of the bins, shape (Q, 2).
        sigma: standard deviation, in the centers' units.

    Returns:
        Probabilities, shape (Q,).
    """
    kernel = (-torch.cdist(centers, centers).square() / (2 * sigma**2)).softmax(dim=1)
    return prior @ kernel


def rebalance(prior: torch.Tensor, uniform_share: float) -> torch.Tensor:
    """Weights that raise rare colors: equation 4, with a mean of one under the prior.

    Args:
        prior: probabilities p, shape (Q,).
        uniform_share: lambda.

    Returns:
        w, shape (Q,); 0 for a bin that never occurs, where lambda is 0.
    """
    mixed = (1 - uniform_share) * prior + uniform_share / len(prior)
    weights = torch.where(mixed > 0, 1 / mixed, 0)
    return weights / (prior * weights).sum()
