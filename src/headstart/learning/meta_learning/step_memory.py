"""Memory of a meta-training step on sinusoids, by a formula: the network is too small to trace.

Of a network with P parameters and hidden widths h, T tasks of n support points and m queries, and S
inner steps, which keep what their second derivatives need (three times a pass):

    weights 4 P      gradients 4 P      optimizer 8 P
    activations 4 T (S + 1) (P + 3 (n + m) (2 sum h + 2))

A method needs no more than is counted here; those of first order need less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_NUMBER = 4  # bytes, fp32


def step_memory(hidden: Sequence[int], *, tasks: int, points: int, steps: int) -> dict[str, int]:
    """What a step holds at its peak, bytes: weights, gradients, optimizer, activations.

    Args:
        hidden: h.
        tasks: T.
        points: n + m.
        steps: S.
    """
    parameters = sum((inner + 1) * outer for inner, outer in pairwise([1, *hidden, 1]))
    kept = parameters + 3 * points * (2 * sum(hidden) + 2)
    return {
        "weights": _NUMBER * parameters,
        "gradients": _NUMBER * parameters,
        "optimizer": 2 * _NUMBER * parameters,
        "activations": _NUMBER * tasks * (steps + 1) * kept,
    }
