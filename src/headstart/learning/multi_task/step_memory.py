"""Memory of a training step of several tasks, by a formula: the networks are too small to trace.

Of P parameters a network, C candidates and T tasks, S stored numbers (a layer that is shared is
stored once a candidate), b rows of each task, D inputs, hidden widths h and K outputs:

    weights 4 S      gradients 4 S + 4 C T P      optimizer 8 S
    activations 4 C T b (D + 2 sum h + 3 K) + 4 C T P

C T P are the copies of shared layers, whose gradients are those of each task apart, and the
parameters side by side that the pairwise penalty is made of. A method needs no more of these than
is counted here, and some need less.
"""

from __future__ import annotations

from itertools import pairwise

from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.registry import METHODS

PAIR_GAINS = "pair_gains"  # all pairs and each task alone, side by side (`groupings`)
_NUMBER = 4  # bytes, fp32


def step_memory(
    method: str, parameters: TaskParameters, *, features: int, tasks: int, outputs: int
) -> dict[str, int]:
    """What a step holds at its peak, bytes: weights, gradients, optimizer, activations.

    Args:
        method: a key of `headstart.learning.multi_task.registry.METHODS`, or `PAIR_GAINS`.
        parameters: of all methods.
        features: D.
        tasks: T.
        outputs: K, or 1.
    """
    learner = METHODS["layer_sharing" if method == PAIR_GAINS else method]
    candidates = len(learner.grid(parameters))
    if method == PAIR_GAINS:
        few = tasks <= parameters.conflict.tasks  # with more it is not measured
        candidates *= tasks * (tasks + 1) // 2 if few else 0
    networks = candidates * tasks
    inputs = features + (tasks if learner.told_the_task else 0)
    widths = [inputs, *parameters.hidden, outputs]
    layers = [(inner + 1) * outer for inner, outer in pairwise(widths)]
    shared = {"nothing": 0, "hidden": len(layers) - 1, "everything": len(layers)}[learner.sharing]
    stored = networks * sum(layers[shared:]) + candidates * sum(layers[:shared])
    copies = networks * sum(layers)
    kept = inputs + 2 * sum(parameters.hidden) + 3 * outputs
    return {
        "weights": _NUMBER * stored,
        "gradients": _NUMBER * (stored + copies),
        "optimizer": 2 * _NUMBER * stored,
        "activations": _NUMBER * (networks * parameters.training.batch_size * kept + copies),
    }
