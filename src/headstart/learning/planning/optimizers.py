"""The optimizers of a plan, by what they remember of each trained number.

    sgd       w <- w - eta g                                        nothing
    momentum  m <- mu m + g                                         m: 4 bytes in fp32
    adam      m, v <- moving means of g and g^2                     m and v: 8 bytes in fp32
    adam8bit  the same in blocks of 8-bit numbers with a scale      2 bytes and 8 / 256 for scales

The last is Adam of Dettmers et al. (2022), blocks of 256, tensors of fewer than 4,096 numbers kept
in fp32, as bitsandbytes has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

_BLOCK = 256  # numbers to a scale
_SMALLEST = 4096  # numbers; a smaller tensor's moments stay in fp32

# Never taken by a plan: nothing is computed under fake tensors.
_LEARNING_RATE = 1e-3


class EightBitAdamMemory(torch.optim.Optimizer):
    """The memory of 8-bit Adam, and the reading and writing of it; not its arithmetic."""

    def __init__(self, parameters: Iterable[nn.Parameter]):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # takes none
        """Touch weights, gradients and moments once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(_moments(parameter))
                for moment in state.values():
                    moment.zero_()
                parameter.add_(parameter.grad)


def _moments(parameter: nn.Parameter) -> dict[str, torch.Tensor]:
    count = parameter.numel()
    if count < _SMALLEST:
        return {name: torch.zeros(count, device=parameter.device) for name in ("m", "v")}
    state = {}
    for name in ("m", "v"):
        state[name] = torch.zeros(count, dtype=torch.uint8, device=parameter.device)
        state[f"{name}_scales"] = torch.zeros(-(-count // _BLOCK), device=parameter.device)
    return state


# Without temporary copies of all parameters: Adam fused, as in the training loop, SGD one by one.
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=_LEARNING_RATE, foreach=False),
    "momentum": lambda parameters: torch.optim.SGD(
        parameters, lr=_LEARNING_RATE, momentum=0.9, foreach=False
    ),
    "adam": lambda parameters: torch.optim.AdamW(parameters, lr=_LEARNING_RATE, fused=True),
    "adam8bit": EightBitAdamMemory,
}


def state_bytes(name: str, sizes: Iterable[int], itemsize: int) -> int:
    """What an optimizer remembers of tensors, in bytes.

    Args:
        name: a key of `OPTIMIZERS`.
        sizes: numbers of each trained tensor.
        itemsize: bytes of each of these numbers.
    """
    counts = list(sizes)
    if name == "adam8bit":
        return sum(8 * n if n < _SMALLEST else 2 * n + 2 * 4 * -(-n // _BLOCK) for n in counts)
    moments = {"sgd": 0, "momentum": 1, "adam": 2}[name]
    counters = 4 * len(counts) if name == "adam" else 0  # of steps, one a tensor
    return moments * itemsize * sum(counts) + counters
