"""The check before a training: will a step fit the device, and what would?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from headstart.errors import HeadstartError
from headstart.learning.planning.extrapolation import Cost, measure_cost
from headstart.learning.planning.gpus import largest
from headstart.learning.planning.models import Configurations
from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.steps import Job, refuse_mismatch

_MOST_EXAMPLES = 65536
_GB = 1e9


def check_fits(
    name: str,
    job: Job,
    batch: int,
    memory: float,
    configurations: Configurations | None = None,
) -> int:
    """Predict a step's peak memory, and refuse one that does not fit.

    Nothing of the data is needed, so a node can ask before it loads any.

    Args:
        name: of the training, for the message.
        job: what is going to be trained, and how.
        batch: examples a step.
        memory: bytes that the device has to give.
        configurations: of a transformers model that names one.

    Returns:
        The predicted peak, bytes.

    Raises:
        HeadstartError: it does not fit; says which batch would, and which cheaper methods.
    """
    cost = measure_cost(job, batch, configurations)
    peak = _peak(cost, batch)
    if peak <= memory:
        return round(peak)
    most = largest(lambda examples: _peak(cost, examples) <= memory, _MOST_EXAMPLES)
    advice = [f"a batch of {most} would fit"] if most else ["not even one example would fit"]
    fitting = [
        f"{label} ({_peak(cheaper, batch) / _GB:.2f} GB)"
        for label, cheaper in _cheaper(job, batch, configurations)
        if _peak(cheaper, batch) <= memory
    ]
    advice.append(
        f"at a batch of {batch} so would {', '.join(fitting)}"
        if fitting
        else f"no cheaper method fits at a batch of {batch}; take a smaller model"
    )
    raise HeadstartError(
        f"{name}: a step on {batch} examples needs {peak / _GB:.2f} GB of memory and there are "
        f"{memory / _GB:.2f} GB; {'; '.join(advice)}."
    )


def _peak(cost: Cost, batch: int) -> float:
    return sum(cost.peak(batch).values())


def _cheaper(
    job: Job, batch: int, configurations: Configurations | None
) -> Iterator[tuple[str, Cost]]:
    """The same with less memory, from what changes least to what changes most."""
    recomputed = replace(job, gradient_checkpointing=True)
    method = job.method
    candidates = {
        "gradient checkpointing": recomputed,
        "8-bit Adam": replace(job, method=method.model_copy(update={"optimizer": "adam8bit"})),
        "lora": replace(job, method=PlannedMethod(kind="lora", rank=method.rank)),
        "qlora": replace(job, method=PlannedMethod(kind="qlora", rank=method.rank)),
        "frozen": replace(job, method=PlannedMethod(kind="frozen")),
    }
    for label, candidate in candidates.items():
        if candidate == job or (
            candidate.method.kind == method.kind and label in ("lora", "qlora")
        ):
            continue
        try:
            refuse_mismatch(candidate)
            yield label, measure_cost(candidate, batch, configurations)
        except HeadstartError:
            continue  # it does not go with this model: no advice
