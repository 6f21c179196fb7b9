"""Inpainting: what stands where the image is hidden? (masked autoencoder; He et al. 2022).

    L = 1 / |M| sum_{i in M} 1 / d ||g(f(x_V))_i - x_i||^2

x_i are the d numbers of patch i, M the patches of an image that are hidden, drawn at random, and V
those that are visible. f is the encoder, g a small decoder that is thrown away afterwards. With
`normalize`, x_i has its own mean and standard deviation taken out (section 4.1, "reconstruction
target"), so that it is structure that is predicted, not brightness.

A vision transformer sees the visible patches alone, and the decoder puts a learned mask token in
the place of each hidden one. A convolutional network needs a whole image: its hidden patches are
filled with mean gray, and its decoder works on the last feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.encoders import preprocess, unnormalize
from headstart.learning.networks import feature_map
from headstart.learning.pretext.parameters import InpaintingParameters
from headstart.learning.pretext.task import Batch, Example, PretextTask, Source, to_picture

_FLAT = 1e-6  # added to a patch's variance, as in the authors' code; one gray level is 6e-5


def patchify(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Images as rows of patches.

    Args:
        images: shape (n, C, H, W).
        patch: pixels a side; divides H and W.

    Returns:
        Shape (n, H W / patch^2, patch^2 C): patches row by row, so their pixels, channels last.
    """
    grid = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (n, C, h, p, w, p)
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: torch.Tensor, patch: int, height: int) -> torch.Tensor:
    """The inverse of `patchify`.

    Args:
        patches: shape (n, H W / patch^2, patch^2 C).
        patch: pixels a side of a patch.
        height: H, pixels.
    """
    grid = patches.unflatten(2, (patch, patch, -1)).unflatten(1, (height // patch, -1))
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def random_mask(n: int, patches: int, hidden: int, generator: torch.Generator) -> torch.Tensor:
    """Which patches of each image are hidden: bool, shape (n, patches), `hidden` true in each row.

    Args:
        n: images.
        patches: an image.
        hidden: how many of them are hidden.
        generator: of the choice; its device is the mask's.
    """
    draw = torch.rand(n, patches, generator=generator, device=generator.device)
    return draw.argsort(dim=1).argsort(dim=1) < hidden


def normalize_patches(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each patch with mean 0 and standard deviation 1 (0 where it is flat); the two taken out.

    Args:
        patches: shape (n, N, d).

    Returns:
        The patches, (n, N, d); their means and standard deviations, (n, N, 1).
    """
    variance, mean = torch.var_mean(patches, dim=2, correction=0, keepdim=True)
    deviation = (variance + _FLAT).sqrt()
    return (patches - mean) / deviation, mean, deviation


class ConvolutionalAutoencoder(nn.Module):
    """Encoder and decoder for networks that keep a feature map.

    The feature map is spread over the patches' grid by pixel shuffle (Shi et al. 2016: a position
    has weights of its own for each patch that it covers), passes residual blocks, and a linear
    layer gives the pixels of each patch.

    Args:
        encoder: has a feature map (n, D, h, w); seen by `headstart.learning.networks.feature_map`.
        dimension: D.
        sides: H and W of the images.
        patch: pixels a side.
        width: channels of the decoder.
        depth: its blocks.
    """

    def __init__(
        self,
        encoder: nn.Module,
        dimension: int,
        sides: tuple[int, int],
        patch: int,
        width: int,
        depth: int,
    ):
        super().__init__()
        self.encoder = encoder
        self.grid = (sides[0] // patch, sides[1] // patch)
        # The size of the feature map, found on the meta device: nothing is computed.
        empty = torch.empty(1, 3, *sides, device="meta")
        h, w = feature_map(deepcopy(encoder).eval().to("meta"), empty).shape[2:]
        factor = max(-(-self.grid[0] // h), -(-self.grid[1] // w))
        self.spread = nn.Sequential(
            nn.Conv2d(dimension, width * factor**2, 1), nn.PixelShuffle(factor)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, width, 3, padding=1), nn.GELU())
            for _ in range(depth)
        )
        self.pixels = nn.Conv2d(width, patch**2 * 3, 1)

    def visible(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the encoder is fed: hidden patches are 0, which is mean gray; (n, 3, H, W)."""
        hidden = mask.unflatten(1, self.grid)[:, None].float()
        hidden = F.interpolate(hidden, images.shape[2:], mode="nearest")
        return images.masked_fill(hidden > 0, 0.0)

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The prediction of all patches, shape (n, N, patch^2 3)."""
        x = self.spread(feature_map(self.encoder, self.visible(images, mask)))
        if x.shape[2:] != self.grid:
            x = F.interpolate(x, self.grid, mode="bilinear", antialias=True)
        for block in self.blocks:
            x = x + block(x)
        prediction: torch.Tensor = self.pixels(x).flatten(2).transpose(1, 2)
        return prediction


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder for timm's vision transformers.

    Args:
        encoder: a `timm.models.VisionTransformer`.
        sides: H and W of the images.
        patch: pixels a side, that of the encoder.
        hidden: patches of each image that are hidden.
        width: of the decoder, a multiple of 4; one attention head for each 32.
        depth: its blocks.
    """

    positions: torch.Tensor

    def __init__(
        self,
        encoder: Any,
        sides: tuple[int, int],
        patch: int,
        hidden: int,
        width: int,
        depth: int,
    ):
        from timm.layers import build_sincos2d_pos_embed
        from timm.models.vision_transformer import Block

        super().__init__()
        self.encoder = encoder
        self.prefix: int = encoder.num_prefix_tokens  # the class token
        grid = [sides[0] // patch, sides[1] // patch]
        self.shown = grid[0] * grid[1] - hidden
        self.embed = nn.Linear(encoder.embed_dim, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        # Not in the state dict: it follows from the sizes.
        self.register_buffer("positions", build_sincos2d_pos_embed(grid, width), persistent=False)
        heads = width // 32 if width % 32 == 0 else 1
        self.blocks = nn.Sequential(
            *(Block(width, num_heads=heads, qkv_bias=True) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, patch**2 * 3)

    def encode(self, images: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """The encoder's tokens of the visible patches, after those of the class.

        Args:
            images: shape (n, 3, H, W).
            order: of the patches, the visible ones first, shape (n, N).
        """
        vit: Any = self.encoder
        # As `forward_features` of timm, but for the patches that are left out.
        tokens = vit._pos_embed(vit.patch_embed(images))
        visible = _gather(tokens[:, self.prefix :], order[:, : self.shown])
        tokens = torch.cat([tokens[:, : self.prefix], visible], dim=1)
        encoded: torch.Tensor = vit.norm(vit.blocks(vit.norm_pre(tokens)))
        return encoded

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The prediction of all patches, shape (n, N, patch^2 3)."""
        order = mask.int().argsort(dim=1, stable=True)
        x = self.embed(self.encode(images, order))
        n, hidden = len(mask), mask.shape[1] - self.shown
        patches = torch.cat([x[:, self.prefix :], self.mask_token.expand(n, hidden, -1)], dim=1)
        patches = _gather(patches, order.argsort(dim=1)) + self.positions
        x = self.norm(self.blocks(torch.cat([x[:, : self.prefix], patches], dim=1)))
        prediction: torch.Tensor = self.pixels(x[:, self.prefix :])
        return prediction


def _gather(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Tokens (n, N, D) at places (n, K), each image its own: (n, K, D)."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))


class Inpainting(PretextTask[InpaintingParameters]):
    """Predict the pixels of hidden patches.

    The score is the share of the hidden patches' variance that is explained, over the batch:

        1 - sum ||prediction - x_i||^2 / sum ||b - x_i||^2

    where b is what can be said without having learned anything: the mean color of the image's
    visible patches; with `normalize` the patch's own mean, which is 0. So 1 is perfect, 0 nothing
    learned, and it may be negative.

    Raises:
        HeadstartError: patches do not divide the images, or none or all of them would be hidden.
    """

    score = "explained variance"

    def __init__(self, parameters: InpaintingParameters, config: Mapping[str, Any], source: Source):
        super().__init__(parameters, config, source)
        size, patch = config["image_size"], parameters.patch
        height, width = source.images.shape[1:3] if size is None else (size, size)
        self.sides = (int(height), int(width))
        if height % patch or width % patch:
            raise HeadstartError(
                f"inpainting: images of {height} x {width} pixels cannot be cut into patches of "
                f"{patch} x {patch}. Set a patch that divides image_size."
            )
        self.patches = self.sides[0] // patch * (self.sides[1] // patch)
        self.hidden = round(parameters.masked_share * self.patches)
        if not 0 < self.hidden < self.patches:
            raise HeadstartError(
                f"inpainting: a masked_share of {parameters.masked_share:g} hides {self.hidden} of "
                f"{self.patches} patches; at least one has to be hidden and one visible. Set a "
                "smaller patch or another masked_share."
            )

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """Encoder and decoder.

        Raises:
            HeadstartError: the patch is not that of a vision transformer, or its decoder's width
                does not go with the position embedding.
        """
        from timm.models import VisionTransformer

        parameters = self.parameters
        patch, width, depth = parameters.patch, parameters.decoder_width, parameters.decoder_depth
        if not isinstance(encoder, VisionTransformer):
            return ConvolutionalAutoencoder(encoder, dimension, self.sides, patch, width, depth)
        own = tuple(encoder.patch_embed.patch_size)
        if own != (patch, patch):
            raise HeadstartError(
                f"inpainting.patch: {patch}, but this vision transformer cuts images into patches "
                f"of {own[0]} x {own[1]} pixels. Set patch to {own[0]}."
            )
        if width % 4:
            raise HeadstartError(
                f"inpainting.decoder_width: {width} is not a multiple of 4, which the position "
                "embedding of a vision transformer's decoder needs."
            )
        return MaskedAutoencoder(encoder, self.sides, patch, self.hidden, width, depth)

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """`images`: float32 (n, 3, H, W); `mask`: which patches are hidden, bool (n, N)."""
        images = preprocess(images, self.config)
        return {
            "images": images,
            "mask": random_mask(len(images), self.patches, self.hidden, generator),
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean squared error on hidden patches, and the share of their variance explained."""
        images, mask = batch["images"], batch["mask"][..., None]
        prediction = model(images, batch["mask"]).float()
        target = patchify(images, self.parameters.patch)
        if self.parameters.normalize:
            target = normalize_patches(target)[0]
            baseline = torch.zeros_like(target)
        else:
            baseline = self._mean_color(target, mask)
        loss = _hidden_mean((prediction - target).square(), mask)
        trivial = _hidden_mean((baseline - target).square(), mask)
        return loss, {"score": 1 - loss.detach() / trivial.clamp(min=_FLAT)}

    def chance(self, n: int) -> float:
        """0: nothing explained."""
        return 0.0

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """The image with its hidden patches gray, filled in by the model, and as it is."""
        patch, height = self.parameters.patch, self.sides[0]
        batch = self.batch(images, None, generator)
        with torch.no_grad():
            prediction = model(batch["images"], batch["mask"]).float()
        true = patchify(batch["images"], patch)
        if self.parameters.normalize:
            # The model does not say a patch's mean and standard deviation: the true ones are lent.
            _, mean, deviation = normalize_patches(true)
            prediction = prediction * deviation + mean
        mask = batch["mask"][..., None]
        rows = (true.masked_fill(mask, 0.0), torch.where(mask, prediction, true), true)
        captions = [f"{self.hidden} of {self.patches} patches hidden", "filled in", "original"]
        columns = [
            to_picture(unnormalize(unpatchify(row, patch, height), self.config)) for row in rows
        ]
        return [Example(list(pictures), list(captions)) for pictures in zip(*columns, strict=True)]

    def _mean_color(self, patches: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean color of each image's visible patches, as a patch: (n, 1, patch^2 3)."""
        pixels = self.parameters.patch**2
        colors = patches.unflatten(2, (pixels, 3)).mean(dim=2)
        color = (colors * ~mask).sum(dim=1, keepdim=True) / (~mask).sum(dim=1, keepdim=True)
        return color.repeat(1, 1, pixels)


def _hidden_mean(errors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of (n, N, d) over hidden patches, those where the mask (n, N, 1) is true."""
    return (errors.mean(dim=2, keepdim=True) * mask).sum() / mask.sum()
