"""The check before a training: will a step fit the device, and what would?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from headstart.errors import HeadstartError
from headstart.learning.planning.extrapolation import TracedStep, trace_step
from headstart.learning.planning.gpus import largest
from headstart.learning.planning.models import Configurations
from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.steps import Job
from headstart.learning.planning.trace import Traceable

_ROUNDING = 1 + 1e-9
_FEWEST = 2  # batch norm does not train on a single example
_GB = 1e9


def check_fits(
    name: str,
    job: Traceable,
    batch: int,
    memory: float,
    *,
    configurations: Configurations | None = None,
    cheaper: Mapping[str, Traceable] | None = None,
    at_once: int = 1,
) -> TracedStep:
    """Predict a step's peak memory, and refuse one that does not fit.

    Nothing of the data is needed, so a node can ask before it loads any.

    Args:
        name: of the training, for the message: its block of parameters.
        job: what is going to be trained, and how.
        batch: examples a step; one is planned as two.
        memory: bytes that the device has to give, to all that run at once.
        configurations: of a transformers model that names one.
        cheaper: name -> what could be done instead, for the message; None: what goes with the
            model of a `Job`.
        at_once: such trainings that run side by side and share the memory.

    Returns:
        The step.

    Raises:
        HeadstartError: it does not fit; says which batch would, and which cheaper methods.
    """
    batch = max(_FEWEST, batch)
    step = trace_step(job, batch, configurations)
    peak = _peak(step)
    if peak * at_once <= memory:
        return step
    each = memory / at_once
    most = _largest_batch(job, batch, each, configurations)
    advice = [f"a batch of {most} would fit"] if most else ["not even one example would fit"]
    if at_once > 1 and peak <= memory:
        fewer = int(memory // peak)
        advice.append(f"so would compute.parallel_fits: {fewer}, {fewer} at a time")
    if cheaper is None:
        cheaper = _cheaper_jobs(job) if isinstance(job, Job) else {}
    fitting = [
        f"{label} ({needed / _GB:.2f} GB)"
        for label, needed in _peaks_of(cheaper, batch, configurations)
        if needed <= each
    ]
    advice.append(
        f"at a batch of {batch} so would {', '.join(fitting)}"
        if fitting
        else f"no cheaper method fits at a batch of {batch}; take a smaller model"
    )
    shared = f" for each of {at_once} at a time" if at_once > 1 else ""
    raise HeadstartError(
        f"{name}: a step on {batch} examples needs {peak / _GB:.2f} GB of memory and there are "
        f"{each / _GB:.2f} GB{shared}; {'; '.join(advice)}. (compute.gradient_accumulation cuts a "
        "batch into pieces.)"
    )


def _peak(step: TracedStep) -> float:
    return sum(step.peak().values())


def _largest_batch(
    job: Traceable, batch: int, memory: float, configurations: Configurations | None
) -> int:
    """The largest batch below one that does not fit; 0: none."""
    few, many = (trace_step(job, size, configurations).held for size in (_FEWEST, 2 * batch))

    def fits(examples: int) -> bool:
        share = (examples - _FEWEST) / (2 * batch - _FEWEST)
        held = np.maximum(few + share * (many - few), 0.0)
        return bool(held.sum(axis=1).max() <= memory * _ROUNDING)

    return largest(fits, batch)


def _peaks_of(
    jobs: Mapping[str, Traceable], batch: int, configurations: Configurations | None
) -> Iterator[tuple[str, float]]:
    for label, job in jobs.items():
        try:
            yield label, _peak(trace_step(job, batch, configurations))
        except HeadstartError:
            continue  # it does not go with this model: no advice


def _cheaper_jobs(job: Job) -> dict[str, Job]:
    """The same with less memory, from what changes least to what changes most."""
    method = job.method
    candidates = {
        "gradient checkpointing": replace(job, gradient_checkpointing=True),
        "8-bit Adam": replace(job, method=method.model_copy(update={"optimizer": "adam8bit"})),
        "lora": replace(job, method=PlannedMethod(kind="lora", rank=method.rank)),
        "qlora": replace(job, method=PlannedMethod(kind="qlora", rank=method.rank)),
        "frozen": replace(job, method=PlannedMethod(kind="frozen")),
    }
    return {
        label: candidate
        for label, candidate in candidates.items()
        if candidate != job and not (candidate.method.kind == method.kind == label)
    }
