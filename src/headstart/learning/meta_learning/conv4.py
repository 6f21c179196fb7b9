"""Conv-4, the network of few-shot image classification (Vinyals et al. 2016; Finn et al. 2017).

Four times a 3 x 3 convolution, batch norm and ReLU, each with the side halved, by max-pooling or a
stride of 2; the last map is averaged over its places.

    y = gamma (W * x - mu) / sqrt(sigma^2 + eps) + beta

Tasks are the groups of one grouped convolution, channels last in memory. Three things are done
differently from the textbook, with the same result:

- The first layer sees images, which have no gradient and few channels. Over their patches p, with
  mean m and covariance S, mu = W m and sigma^2 = diag(W S W^T), so batch norm goes into the
  weights, and forward, backward and double backward passes of the largest map are one matrix
  product each.
- Its patches are ordered so that the four that a pooling joins lie in four planes.
- ReLU follows the pooling, on a quarter of the values: it is monotonic, so the two commute.

A convolution has no bias, since batch norm would take it out again.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.task_network import (
    Normalization,
    Reading,
    TaskNetwork,
    Weights,
)

_LAYERS, _EPSILON = 4, 1e-5


class Conv4(TaskNetwork):
    """Images (T, n, C, H, W) -> representations (T, n, filters) -> logits (T, n, outputs).

    Args:
        channels: of the images.
        filters: of each convolution.
        outputs: classes; 0: there is no last layer.
        inner_steps: of meta-training: running statistics are kept for each number of steps from 0
            to this one.
        downsampling: "pool" or "stride".
        momentum: how far running statistics move towards those of a batch.

    Attributes:
        running_mean: mu, shape (inner_steps + 1, 4, filters); running_variance likewise.
    """

    readings: ClassVar[tuple[Reading, ...]] = ("query", "support", "running")
    running_mean: torch.Tensor
    running_variance: torch.Tensor

    def __init__(
        self,
        channels: int,
        filters: int,
        outputs: int,
        inner_steps: int = 0,
        downsampling: Literal["pool", "stride"] = "pool",
        momentum: float = 0.1,
    ):
        super().__init__()
        self.pool = downsampling == "pool"
        self.stride = 1 if self.pool else 2
        self.momentum = momentum
        self.weights = nn.ParameterDict()
        for layer in range(_LAYERS):
            kernel = torch.empty(filters, filters if layer else channels, 3, 3)
            self.weights[f"kernel_{layer}"] = nn.Parameter(nn.init.xavier_uniform_(kernel))
            self.weights[f"scale_{layer}"] = nn.Parameter(torch.ones(filters))
            self.weights[f"shift_{layer}"] = nn.Parameter(torch.zeros(filters))
        if outputs:
            weight = nn.init.xavier_uniform_(torch.empty(outputs, filters))
            self.weights["head_weight"] = nn.Parameter(weight)
            self.weights["head_bias"] = nn.Parameter(torch.zeros(outputs))
        moments = (inner_steps + 1, _LAYERS, filters)
        self.register_buffer("running_mean", torch.zeros(moments))
        self.register_buffer("running_variance", torch.ones(moments))

    def features(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Averages of the last map; moments are (2, 4, filters), means and variances.

        Raises:
            HeadstartError: the images are too small to be halved four times.
        """
        tasks, sides = len(x), x.shape[3:]
        if self.pool and min(sides) < 2**_LAYERS:
            raise HeadstartError(
                f"conv4: images of {sides[0]} x {sides[1]} pixels cannot be halved four times; "
                f"they need {2**_LAYERS} a side, or downsampling: stride."
            )
        h, moments = self._first_layer(weights, x, normalization)
        seen = [moments]
        for layer in range(1, _LAYERS):
            kernel = weights[f"kernel_{layer}"].flatten(0, 1)
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            h = F.conv2d(h, kernel, padding=1, stride=self.stride, groups=tasks)
            h, moments = self._normalize(weights, h, layer, normalization)
            seen.append(moments)
            h = (F.max_pool2d(h, 2) if self.pool else h).relu()
        features = h.mean((2, 3)).unflatten(1, (tasks, -1)).transpose(0, 1)
        return features, torch.stack(seen, dim=1)

    def head(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return torch.baddbmm(weights["head_bias"][:, None], features, weights["head_weight"].mT)

    @torch.no_grad()
    def remember(self, moments: torch.Tensor) -> None:
        """See `TaskNetwork.remember`; moments are (inner steps + 1, 2, 4, filters)."""
        self.running_mean.lerp_(moments[:, 0], self.momentum)
        self.running_variance.lerp_(moments[:, 1], self.momentum)

    @torch.no_grad()
    def replace_running(self, moments: torch.Tensor) -> None:
        """See `TaskNetwork.replace_running`; moments are (2, 4, filters)."""
        self.running_mean.copy_(moments[0])
        self.running_variance.copy_(moments[1])

    def _running(self, layer: int, normalization: Normalization) -> tuple[torch.Tensor, ...]:
        """Mean and variance, (filters,) each; further steps than were trained are as the last."""
        step = min(normalization.step, len(self.running_mean) - 1)
        return self.running_mean[step, layer], self.running_variance[step, layer]

    def _first_layer(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Convolution, batch norm, halving and ReLU as one product with the images' patches."""
        tasks, n, _, height, width = x.shape
        height, width = (-(-side // self.stride) for side in (height, width))
        kernel = weights["kernel_0"].flatten(2)  # (T, filters, 9 C)
        patches = F.unfold(x.flatten(0, 1), 3, padding=1, stride=self.stride)
        patches = patches.unflatten(0, (tasks, n)).transpose(1, 2)  # (T, 9 C, n, places)
        if normalization.running:
            mean, variance = (
                moment.expand(tasks, -1) for moment in self._running(0, normalization)
            )
        else:
            counted = patches[:, :, : normalization.rows].flatten(2)
            center = counted.mean(2, keepdim=True)
            centered = counted - center
            covariance = centered @ centered.mT / counted.shape[2]
            mean = (kernel @ center).squeeze(2)
            variance = ((kernel @ covariance) * kernel).sum(2)
        scale = weights["scale_0"] * (variance + _EPSILON).rsqrt()
        shift = weights["shift_0"] - scale * mean
        if self.pool:
            even = patches.unflatten(3, (height, width))[..., : height // 2 * 2, : width // 2 * 2]
            height, width = height // 2, width // 2
            even = even.unflatten(4, (-1, 2)).unflatten(3, (-1, 2))  # (T, 9 C, n, h, 2, w, 2)
            patches = even.permute(0, 1, 4, 6, 2, 3, 5)
        h = torch.baddbmm(shift[:, :, None], kernel * scale[:, :, None], patches.flatten(2))
        if self.pool:
            h = h.unflatten(2, (4, -1)).amax(2)
        h = h.relu().unflatten(2, (n, height, width))
        h = h.permute(2, 0, 1, 3, 4).flatten(1, 2)  # (n, T filters, height, width)
        moments = torch.stack([mean.detach().mean(0), variance.detach().mean(0)])
        return h.contiguous(memory_format=torch.channels_last), moments

    def _normalize(
        self, weights: Weights, h: torch.Tensor, layer: int, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch norm of (n, T filters, height, width), each task on its own."""
        scale, shift = (weights[f"{name}_{layer}"].flatten() for name in ("scale", "shift"))
        tasks = len(weights["scale_0"])
        if normalization.running:
            mean, variance = (m.repeat(tasks) for m in self._running(layer, normalization))
            h = F.batch_norm(h, mean, variance, scale, shift, eps=_EPSILON)
        elif normalization.rows is not None:
            variance, mean = torch.var_mean(h[: normalization.rows], (0, 2, 3), correction=0)
            factor = scale * (variance + _EPSILON).rsqrt()
            h = h * factor[:, None, None] + (shift - factor * mean)[:, None, None]
        else:
            # With a momentum of 1 these become the batch's mean and unbiased variance.
            mean, variance = (torch.zeros_like(scale).detach() for _ in range(2))
            h = F.batch_norm(
                h, mean, variance, scale, shift, training=True, momentum=1.0, eps=_EPSILON
            )
            count = h.numel() // h.shape[1]
            variance = variance * ((count - 1) / count)
        moments = torch.stack([mean, variance]).detach().unflatten(1, (tasks, -1)).mean(1)
        return h, moments
