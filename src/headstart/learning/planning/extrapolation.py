"""From few traces to any batch and any depth.

Two batches b are traced. The operations are the same, and what is held after operation t is a line
in b, so the peak at any other batch is exact but for what grows otherwise (the similarities of all
pairs of a contrastive batch):

    M(b) = max_t  alpha_t + beta_t b

Of a deep transformer of L equal layers, two and three are traced instead of L. The third layer adds
its operations forward and backward; with these left out the operations are the same again, and M_t
is a line in L as well. During the layers between, what is held grows or falls from the first to the
last by equal steps, so that the largest is at one of these two, which are there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.learning.planning.models import Configurations, transformers_config
from headstart.learning.planning.sizes import Sizes, measure_sizes
from headstart.learning.planning.steps import HALF_OF, Job
from headstart.learning.planning.trace import HELD, Timeline, Traceable, trace

logger = logging.getLogger(__name__)

_FEW_LAYERS = 4  # up to so many are all traced


@dataclass(frozen=True)
class TracedStep:
    """A step at its full depth: T operations told apart, U = T + those of a layer between.

    Attributes:
        held: bytes after each operation, shape (T, 4), columns `HELD`.
        work: flops and moved bytes, shape (U, 2).
        times: how often each is done, shape (U,).
        extrapolated: equal layers that were not traced.
    """

    held: np.ndarray
    work: np.ndarray
    times: np.ndarray
    extrapolated: int = 0

    def peak(self) -> dict[str, float]:
        """What is held when most is, by what it is for, bytes."""
        most = self.held[self.held.sum(axis=1).argmax()]
        return dict(zip(HELD, most.tolist(), strict=True))


@dataclass(frozen=True)
class Cost:
    """What a step costs at any batch.

    Attributes:
        job: what is planned.
        sizes: of the model.
        smaller: of the two traced batches; larger likewise.
        extrapolated: equal layers that were not traced.
        half: of a mixed precision: the cost of the same in half precision throughout.
    """

    job: Job
    sizes: Sizes
    smaller: int
    larger: int
    extrapolated: int
    half: Cost | None
    _curves: tuple[TracedStep, TracedStep]

    def held(self, batch: int) -> np.ndarray:
        """Bytes after each operation, shape (T, 4), columns `HELD`.

        Args:
            batch: examples.
        """
        one, two = self._curves
        return self._line(one.held, two.held, batch)

    def operations(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Flops, moved bytes, and how often it is done, of each operation: shape (U,) each.

        Args:
            batch: examples.
        """
        one, two = self._curves
        work = self._line(one.work, two.work, batch)
        return work[:, 0], work[:, 1], one.times

    def flops(self, batch: int) -> float:
        """Floating-point operations of a step.

        Args:
            batch: examples.
        """
        flops, _, times = self.operations(batch)
        return float(flops @ times)

    def peak(self, batch: int) -> dict[str, float]:
        """What is held when most is, by what it is for, bytes.

        Args:
            batch: examples.
        """
        return TracedStep(self.held(batch), np.empty(0), np.empty(0)).peak()

    def _line(self, one: np.ndarray, two: np.ndarray, batch: int) -> np.ndarray:
        share = (batch - self.smaller) / (self.larger - self.smaller)
        line: np.ndarray = np.maximum(one + share * (two - one), 0.0)
        return line


def measure_cost(job: Job, batch: int, configurations: Configurations | None = None) -> Cost:
    """Trace a step at two batches, of a deep transformer at two depths each.

    Args:
        job: what is planned.
        batch: one of the two; the other is twice as large. (A single example is no such batch:
            batch norm does not train on it.)
        configurations: of the transformers models that name one.

    Raises:
        HeadstartError: there is no such model, or the method does not go with it.
    """
    configurations = configurations or {}
    sizes = measure_sizes(job, configurations)
    smaller = max(2, batch)
    curves = [trace_step(job, size, configurations) for size in (smaller, 2 * smaller)]
    if len(curves[0].held) != len(curves[1].held):
        raise RuntimeError(f"The operations of {job} depend on the batch.")
    half = None
    if job.precision in HALF_OF:
        half = measure_cost(replace(job, precision=HALF_OF[job.precision]), batch, configurations)
    return Cost(
        *(job, sizes, smaller, 2 * smaller, curves[0].extrapolated, half),
        (curves[0], curves[1]),
    )


def trace_step(
    job: Traceable, batch: int, configurations: Configurations | None = None
) -> TracedStep:
    """Trace a step at one batch, of a deep transformer at two depths.

    Args:
        job: what is planned.
        batch: examples.
        configurations: of the transformers models that name one.

    Raises:
        HeadstartError: there is no such model, or the method does not go with it.
    """
    configurations = configurations or {}
    depth = _equal_layers(job, configurations) if isinstance(job, Job) else 0
    if isinstance(job, Job) and depth:
        deep = _deep(job, batch, configurations, depth)
        if deep is not None:
            return deep
    return _whole(trace(job, batch, configurations))


def _equal_layers(job: Job, configurations: Configurations) -> int:
    """Depth of a model whose layers need not all be traced; else 0."""
    if job.model.transformers is None:
        return 0
    config: Any = transformers_config(job.model, configurations)
    depth = int(config.num_hidden_layers)
    kinds = set(getattr(config, "layer_types", None) or [])
    return depth if depth > _FEW_LAYERS and len(kinds) < 2 else 0


def _deep(job: Job, batch: int, configurations: Configurations, depth: int) -> TracedStep | None:
    """From two layers and three; None where the model does not consist of equal layers."""
    two, three = (trace(job, batch, configurations, layers) for layers in (2, 3))
    inside, outside = three.repeated, ~three.repeated
    kept = tuple(np.array(three.operations)[outside])
    if not inside.any() or kept != two.operations:
        logger.info("The layers of %s differ: all are traced.", job.model.transformers)
        return None
    more = depth - 2
    works = [np.column_stack([t.flops, t.moved]) for t in (two, three)]
    return TracedStep(
        held=two.held + more * (three.held[outside] - two.held),
        work=np.concatenate([works[0] + more * (works[1][outside] - works[0]), works[1][inside]]),
        times=np.repeat([1.0, float(more)], [outside.sum(), inside.sum()]),
        extrapolated=depth - 3,
    )


def _whole(traced: Timeline) -> TracedStep:
    work = np.column_stack([traced.flops, traced.moved])
    return TracedStep(traced.held, work, np.ones(len(work)))
