"""How many numbers a planned model has, and what of it is trained: exact, at its full depth."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from headstart.learning.planning.models import Configurations, sharded_units
from headstart.learning.planning.steps import Job, WholeModel, build_whole


@dataclass(frozen=True)
class Sizes:
    """Counts of one job.

    Attributes:
        parameters: learned numbers of the bare model.
        trained: numbers of each trained tensor, head and adapters included.
        head: those on top of the bare model, adapters not included.
        adapter_parameters: those in adapters.
        adapter_bytes: that they take.
        weight_bytes: of all that is stored: weights, head, adapters, statistics.
        outside, layer: parameters that FSDP gathers at a time
            (`headstart.learning.planning.models.sharded_units`).
    """

    parameters: int
    trained: tuple[int, ...]
    head: int
    adapter_parameters: int
    adapter_bytes: int
    weight_bytes: int
    outside: int
    layer: int

    @property
    def trained_parameters(self) -> int:
        """Trained numbers."""
        return sum(self.trained)


def measure_sizes(job: Job, configurations: Configurations) -> Sizes:
    """Count on the meta device.

    Args:
        job: what is planned.
        configurations: of the transformers models that name one.

    Raises:
        HeadstartError: as `headstart.learning.planning.steps.build_whole`.
    """
    whole = build_whole(job, configurations)
    body = whole.body
    adapters = _adapters(whole)
    bare = build_whole(_bare(job), configurations).body if adapters else body
    outside, layer = sharded_units(bare)
    tensors = {id(t): t for t in [*whole.parameters(), *whole.buffers()]}.values()
    return Sizes(
        parameters=sum(p.numel() for p in bare.parameters()),
        trained=tuple(p.numel() for p in whole.parameters() if p.requires_grad),
        head=sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in body.parameters()),
        adapter_parameters=sum(p.numel() for p in adapters),
        adapter_bytes=sum(p.numel() * p.element_size() for p in adapters),
        weight_bytes=sum(t.numel() * t.element_size() for t in tensors),
        outside=outside,
        layer=layer,
    )


def _adapters(whole: WholeModel) -> list[nn.Parameter]:
    """What is trained inside the bare model, while the rest of it is frozen."""
    parameters = list(whole.body.parameters())
    trained = [p for p in parameters if p.requires_grad]
    return trained if whole.adapted else []


def _bare(job: Job) -> Job:
    return Job(job.model, job.method.model_copy(update={"kind": "inference"}), job.precision)
