"""A linear layer whose frozen weights take four bits each (QLoRA; Dettmers et al. 2023).

    y = W x + b,   W = dequantize(codes, scales) in the type of x, made for each use and thrown away

Two weights share a byte; 64 share a scale of 8 bits, 256 scales one of 32: 4.127 bits a weight.
For plans alone: it has the memory of such a layer and computes nothing of worth.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_BLOCK, _SUPERBLOCK = 64, 256  # weights to a scale, scales to a scale of theirs


class FourBitLinear(nn.Module):
    """Stands in for a linear layer.

    Args:
        linear: the layer whose shape it takes, (d, k).
    """

    codes: torch.Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight
        self.out_features = linear.out_features
        device, scales = weight.device, -(-weight.numel() // _BLOCK)

        def bytes_of(count: int) -> torch.Tensor:
            return torch.empty(count, dtype=torch.uint8, device=device)

        self.register_buffer("codes", bytes_of(-(-weight.numel() // 2)))
        self.register_buffer("scales", bytes_of(scales))
        self.register_buffer(
            "scales_of_scales",
            torch.empty(-(-scales // _SUPERBLOCK), dtype=torch.float32, device=device),
        )
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (..., k) -> (..., d)."""
        y: torch.Tensor = _Multiply.apply(x, self.codes, self.out_features)
        return y if self.bias is None else y + self.bias.to(y.dtype)


def quantize(network: nn.Module, skip: nn.Module | None) -> None:
    """Replace every frozen linear layer but one.

    Args:
        network: is changed in place.
        skip: the layer that predicts words, which is kept as it is; None: there is none.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            frozen = isinstance(child, nn.Linear) and not child.weight.requires_grad
            if frozen and child is not skip:
                setattr(module, name, FourBitLinear(child))  # type: ignore[arg-type]


def stored_bytes(weights: int) -> int:
    """Bytes of so many 4-bit weights of one layer with their scales.

    Args:
        weights: d k.
    """
    scales = -(-weights // _BLOCK)
    return -(-weights // 2) + scales + 4 * -(-scales // _SUPERBLOCK)


class _Multiply(torch.autograd.Function):
    """x W^T; the codes alone are kept for the backward pass, not W."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, codes: torch.Tensor, out_features: int) -> torch.Tensor:
        ctx.save_for_backward(codes)
        ctx.shape = (out_features, x.shape[-1])
        return x @ _dequantize(codes, ctx.shape, x.dtype).T

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (codes,) = ctx.saved_tensors
        return gradients[0] @ _dequantize(codes, ctx.shape, gradients[0].dtype), None, None


def _dequantize(codes: torch.Tensor, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """The memory that W (d, k) takes while it is there."""
    return torch.empty(shape, dtype=dtype, device=codes.device)
