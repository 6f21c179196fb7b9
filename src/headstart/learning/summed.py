"""The sum of a tensor over all processes, through which gradients flow back."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed


def summed(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, the same in each.

    The gradient of the sum of all processes' losses is the sum of what each of them gives.

    Args:
        tensor: of the same shape in all processes, which call this in the same order.
    """
    total: torch.Tensor = _Sum.apply(tensor)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        return _sum(tensor)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> torch.Tensor:
        return _sum(outer[0])


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
