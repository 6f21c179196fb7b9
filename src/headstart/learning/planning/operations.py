"""What one operation of torch costs: arithmetic, and memory that it has to read and write.

A product of matrices (m x k) and (k x n) takes 2 m k n floating-point operations; convolutions and
attention are sums of such. PyTorch's flop counter counts them, with one exception: it takes the
backward pass of a grouped convolution for one without groups, and so finds ten times too many in a
depthwise network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "lift_fresh"}


def count_flops(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> float:
    """Floating-point operations of products of matrices, convolutions and attention; others: 0.

    Args:
        func: a `torch._ops.OpOverload`.
        args: what it was called with; kwargs likewise.
        kwargs: see there.
        result: what it returned.
    """
    if func is torch.ops.aten.convolution_backward.default:
        return _convolution_backward(args)
    counter = flop_registry.get(func.overloadpacket)
    return 0.0 if counter is None else float(counter(*args, **kwargs, out_val=result))


def count_moved(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> float:
    """Bytes that an operation has to read and write at least; a view moves none.

    Args:
        func: a `torch._ops.OpOverload`.
        args: what it was called with; kwargs likewise.
        kwargs: see there.
        result: what it returned.
    """
    if func.is_view or func.overloadpacket.__name__ in _FREE:
        return 0.0
    arguments = {argument.name: argument for argument in func._schema.arguments}
    given = dict(zip(arguments, args, strict=False)) | dict(kwargs)
    changed = [
        value
        for name, value in given.items()
        if arguments[name].alias_info is not None and arguments[name].alias_info.is_write
    ]
    return float(_bytes(given) + _bytes(changed or result))


def _convolution_backward(args: Sequence[Any]) -> float:
    """As many operations as forward for the gradient of the input, and of the weight."""
    gradient, inputs, weight, _, _, _, _, transposed, _, _, mask = args
    positions = inputs if transposed else gradient
    return 2.0 * positions.numel() * weight[0].numel() * (mask[0] + mask[1])


def _bytes(tree: Any) -> int:
    return sum(
        leaf.numel() * leaf.element_size()
        for leaf in tree_leaves(tree)
        if isinstance(leaf, torch.Tensor)
    )
