"""How long a training takes, and its learning rate at each step; free of torch."""

from __future__ import annotations

import math

from headstart.learning.configuration import TrainingParameters


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Steps in an epoch, its batches being as even as possible.

    No batch is larger than `batch_size`, with one exception: where batches of two would leave one
    example over, it joins another batch, because batch norm cannot learn from a single example.

    Args:
        size: examples in an epoch.
        batch_size: examples a step, at most.
    """
    steps = -(-size // batch_size)
    if batch_size > 1 and size > 1 and size // steps == 1:
        steps = size // 2
    return steps


def planned_steps(parameters: TrainingParameters, size: int) -> int:
    """Steps of a training: `steps` or `epochs`, whichever is less.

    Args:
        parameters: of the training.
        size: examples in an epoch.
    """
    return min(parameters.steps, parameters.epochs * steps_per_epoch(size, parameters.batch_size))


def learning_rate_factor(parameters: TrainingParameters, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step.

    Rises linearly over the first `warmup_share` of the steps, then stays ("constant"), falls
    linearly towards 0 ("linear") or as half a cosine ("cosine"; Loshchilov and Hutter 2017).

    Args:
        parameters: of the training.
        step: the step's number, from 0.
        steps: of the whole training.
    """
    warmup = math.ceil(parameters.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    if parameters.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * share))
    return 1 - share if parameters.schedule == "linear" else 1.0
