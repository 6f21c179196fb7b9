"""The networks that can be trained, without a classification layer, each by one name.

All take float images (n, 3, H, W) and give a representation (n, D). Their architectures are timm's;
any other of timm's image models is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn


def _timm(name: str, **options: Any) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=0, **options)


def small_resnet() -> nn.Module:
    """A ResNet (He et al. 2016) for images of 32 to 96 pixels on a CPU: 1.24 M parameters, D = 256.

    Four stages of one basic block each, of 32 to 256 channels; the first convolution is 3 x 3 with
    stride 2 and no pooling follows, so the last feature map is a sixteenth of the image a side.
    """
    from timm.models.resnet import BasicBlock, ResNet

    stem, channels = 32, (32, 64, 128, 256)
    network: Any = ResNet(BasicBlock, (1, 1, 1, 1), 0, stem_width=stem, channels=channels)  # type: ignore[arg-type]
    network.conv1 = nn.Conv2d(3, 2 * stem, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


# Name -> the network, with its initial weights.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    # EfficientNet (Tan and Le 2019) without squeeze-and-excitation and with ReLU6. The `tf_`
    # variant has the batch-norm epsilon that the published weights were trained with.
    "efficientnet_lite0": partial(_timm, "tf_efficientnet_lite0"),
    "small_resnet": small_resnet,
    "resnet18": partial(_timm, "resnet18"),
    "resnet50": partial(_timm, "resnet50"),
    # Position embeddings are resized to whatever it is fed: tiles of a puzzle are small images.
    "vit_small": partial(_timm, "vit_small_patch16_224", dynamic_img_size=True),
}


def feature_map(network: Any, images: torch.Tensor) -> torch.Tensor:
    """The last layer's features where they stand in the image, before they are averaged.

    Args:
        network: of `NETWORKS`.
        images: float, shape (n, 3, H, W).

    Returns:
        Shape (n, D, h, w); of a vision transformer one position a patch, class token left out.
    """
    features: torch.Tensor = network.forward_features(images)
    if features.ndim == 4:
        return features
    patches = features[:, network.num_prefix_tokens :]
    height, width = network.patch_embed.dynamic_feat_size(images.shape[2:])
    return patches.transpose(1, 2).unflatten(2, (height, width))
