"""One training step traced: what memory is held after each operation, and what it computes.

PyTorch's own memory tracker follows every storage from its first tensor to its last, by what it is
for; the tensors are fake, so nothing is allocated and nothing computed. Peak memory is the largest
of

    M_t = weights + gradients_t + optimizer + activations_t       after operation t, bytes

What a kernel takes and gives back within one operation is not seen, nor what the allocator keeps.
The step is the second one: the optimizer's moments are there from its start, as in all that follow.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from headstart.learning.planning.models import Configurations
from headstart.learning.planning.operations import count_flops, count_moved
from headstart.learning.planning.optimizers import OPTIMIZERS
from headstart.learning.planning.parameters import OptimizerName
from headstart.learning.planning.steps import Step

HELD = ("weights", "gradients", "optimizer", "activations")
_HELD_OF = {"PARAM": 0, "BUFFER": 0, "GRAD": 1, "OPT": 2, "ACT": 3, "TEMP": 3, "OTH": 3}


@dataclass(frozen=True)
class Timeline:
    """A traced step of T operations.

    Attributes:
        operations: their names.
        held: bytes held after each, shape (T, 4), columns `HELD`.
        flops: floating-point operations of each, shape (T,); of matrix products, convolutions and
            attention alone.
        moved: bytes that each reads and writes at least, shape (T,).
        repeated: which operations belong to the second of the equal layers, shape (T,).
    """

    operations: tuple[str, ...]
    held: np.ndarray
    flops: np.ndarray
    moved: np.ndarray
    repeated: np.ndarray


class Traceable(Protocol):
    """What can be traced: `headstart.learning.planning.steps.Job`, or a training of its own."""

    @property
    def optimizer(self) -> OptimizerName:
        """Of what is trained."""

    def make_step(
        self, batch: int, configurations: Configurations, layers: int | None, fake: FakeTensorMode
    ) -> Step:
        """One step out of fake tensors (`headstart.learning.planning.steps.make_step`)."""


def trace(
    job: Traceable, batch: int, configurations: Configurations, layers: int | None = None
) -> Timeline:
    """Trace one step.

    Args:
        job: what is planned.
        batch: examples.
        configurations: of the transformers models that name one.
        layers: build so many of the equal layers; None: all.

    Raises:
        HeadstartError: as `headstart.learning.planning.steps.make_step`.
    """
    # Fallback kernels would compute on real memory. Small tables of constants may be real.
    fake = FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True)
    with _quiet():
        step = job.make_step(batch, configurations, layers, fake)
    with fake, _quiet():
        optimizer = OPTIMIZERS[job.optimizer](step.trained) if step.trained else None
        if optimizer is not None:
            _fill_state(step, optimizer)
        tracker = _Tracker(step)
        tracker.track_external(*step.batch.values(), *([optimizer] if optimizer else []))
        with tracker, _marked_layers(step, tracker), _no_collector():
            step.run()
            if optimizer is not None:
                with tracker.as_one("optimizer step"):
                    optimizer.step()
        return tracker.timeline()


def _fill_state(step: Step, optimizer: torch.optim.Optimizer) -> None:
    for parameter in step.trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


class _NoHook:
    """Takes the place of the tracker's hooks on the gradient of what has none."""

    def remove(self) -> None:
        pass


class _Tracker(MemTracker):
    """The memory tracker with a record of every operation, and without statistics by module.

    These would cost most of the time, and allow one forward pass only.
    """

    def __init__(self, step: Step):
        super().__init__()
        self._rows: list[tuple[str, list[int], float, float]] = []  # as the columns of Timeline
        self._marks: list[tuple[str, int]] = []
        hooks: Any = self._param_to_grad_hook_handles
        for parameter in step.network.parameters():
            if not parameter.requires_grad:
                hooks[parameter] = (_NoHook(), _NoHook())
        self._track_module_params_and_buffers(step.network, install_grad_hooks=True)

    def _pre_fw_hook(self, module: nn.Module, inputs: Any) -> None:
        pass

    def _post_fw_hook(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        pass

    def _pre_bw_hook(self, module: nn.Module, args: Any) -> None:
        pass

    def _post_bw_hook(self, module: nn.Module, args: Any) -> None:
        pass

    def mark(self, name: str) -> None:
        """Remember that something happened before the next operation."""
        self._marks.append((name, len(self._rows)))

    @contextmanager
    def as_one(self, name: str) -> Iterator[None]:
        """Record what happens inside as one operation, which holds as much as the largest did."""
        start = len(self._rows)
        yield
        inside = self._rows[start:]
        held = max((row[1] for row in inside), key=sum)
        flops, moved = sum(row[2] for row in inside), sum(row[3] for row in inside)
        self._rows[start:] = [(name, held, flops, moved)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func.namespace == "aten":
            kwargs = kwargs or {}
            self._rows.append(
                (
                    str(func),
                    self._held(),
                    count_flops(func, args, kwargs, result),
                    count_moved(func, args, kwargs, result),
                )
            )
        return result

    def _held(self) -> list[int]:
        held = [0] * len(HELD)
        for snapshot in self._curr_mem_snap.values():
            for kind, size in snapshot.items():
                place = _HELD_OF.get(getattr(kind, "name", ""))  # one entry is the total
                if place is not None:
                    held[place] += size
        return held

    def timeline(self) -> Timeline:
        """What has been recorded."""
        operations, held, flops, moved = zip(*self._rows, strict=True)
        repeated = np.zeros(len(operations), dtype=bool)
        starts: dict[str, int] = {}
        for name, place in self._marks:
            what, edge = name.split()
            if edge == "starts":
                starts[what] = place
            elif what in starts:
                repeated[starts.pop(what) : place] = True
        return Timeline(
            operations,
            np.array(held, dtype=np.float64),
            np.array(flops),
            np.array(moved),
            repeated,
        )


@contextmanager
def _marked_layers(step: Step, tracker: _Tracker) -> Iterator[None]:
    """Mark where the second of three equal layers starts and ends, forward and backward."""
    layers = step.layers
    if layers is None or len(layers) != 3:
        yield
        return

    def before(name: str) -> Any:
        def hook(*_: Any) -> None:
            if torch._C._current_graph_task_id() == -1:  # not when it is computed anew
                tracker.mark(name)

        return hook

    def when_gradient_comes(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            states = output if isinstance(output, torch.Tensor) else output[0]
            if states.requires_grad and torch._C._current_graph_task_id() == -1:
                states.register_hook(lambda gradient: tracker.mark(name))

        return hook

    handles = [
        layers[1].register_forward_pre_hook(before("forward starts")),
        layers[2].register_forward_pre_hook(before("forward ends")),
        layers[1].register_forward_hook(when_gradient_comes("backward starts")),
        layers[0].register_forward_hook(when_gradient_comes("backward ends")),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the collector of circular references, which comes by at another operation each time.

    What stands in such a circle counts to the end of the step, the most that it can be there.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of tensors that they cannot look into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
