"""One training in several processes, one a device, started by torch's elastic launcher.

All workers call the same function with the same arguments. The training loop in it shares out each
batch (`headstart.learning.training`); whatever else it does, every worker does alike, and the first
one's result is handed back. What calls `in_processes` stays one process.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters, usable_processors
from headstart.learning.machines import Meeting
from headstart.learning.mapped_arrays import MappedArray, share
from headstart.learning.workers import computing_threads, die_with_parent, worker_context

Result = TypeVar("Result")
logger = logging.getLogger(__name__)

# A worker whose partner died says so later than the launcher notices the death itself.
_GRACE_SECONDS = 5.0
_LOST = ("gloo", "nccl", "connection", "socket", "broken pipe", "store")


def count_processes(compute: ComputeParameters) -> int:
    """How many processes a training is shared out to, on all machines together.

    One inside of such a process, which starts no others.

    Args:
        compute: parameters of the machine.

    Raises:
        HeadstartError: there are fewer CUDA devices than processes, or the device cannot be shared.
    """
    if _is_one_of_many():
        return 1
    return _here(compute) * compute.nodes


def is_first() -> bool:
    """Whether this is the process that logs, saves and hands back: the only one, or rank 0."""
    return int(os.environ.get("RANK", "0")) == 0


def from_first(make: Callable[[], Result]) -> Result:
    """What a function gives in the first process, in all of them; the others do not call it."""
    if not _is_one_of_many():
        return make()
    from accelerate.utils import broadcast_object_list

    return cast(Result, broadcast_object_list([make() if is_first() else None])[0])


def in_processes(
    call: Callable[[], Result], compute: ComputeParameters, description: str
) -> Result:
    """Call a function in `compute.processes` workers on each of `compute.nodes` machines.

    With one process it is called here.

    Args:
        call: a function of a module, or a partial of one. What it holds is sent to each worker,
            whole memory-mapped arrays as the paths of their files.
        compute: how many workers, and on what device.
        description: stands in messages.

    Returns:
        What it returns in the first worker.

    Raises:
        HeadstartError: as the function raises it in any worker; a worker died or failed, which is
            named, with the reason; other machines did not come.
    """
    if count_processes(compute) == 1:
        return call()
    processes = _here(compute)
    meeting = Meeting.call(compute, description) if compute.nodes > 1 else None
    cores = max(1, usable_processors() // processes)
    level = logging.getLogger("headstart").getEffectiveLevel()
    module = getattr(call, "func", call).__module__
    worker = (_dump(call), _device(compute) == "cpu", cores, level)
    results = _launch(worker, processes, description, meeting, module, compute)
    if meeting:
        meeting.over()
    return cast(Result, pickle.loads(results[0]))


def follow(meeting: Meeting) -> None:
    """Take part in one training that another machine has called for.

    Args:
        meeting: of `headstart.learning.machines.calls`.

    Raises:
        HeadstartError: as `in_processes`.
    """
    compute = meeting.compute
    processes = _here(compute)
    cores = max(1, usable_processors() // processes)
    worker = (None, _device(compute) == "cpu", cores, logging.WARNING)
    _launch(worker, processes, meeting.description, meeting, __name__, compute)


def _launch(
    worker: tuple[Any, ...],
    processes: int,
    description: str,
    meeting: Meeting | None,
    module: str,
    compute: ComputeParameters,
) -> dict[int, bytes]:
    """What the workers of this machine return, by their ranks."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    start_method = worker_context(module).get_start_method()
    caught = None
    with tempfile.TemporaryDirectory() as folder, _own_signals(), _quiet_launcher():
        where: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
        where |= {"run_id": str(uuid.uuid4()), "local_addr": "localhost"}
        if meeting:
            where = meeting.launch_options()
        config = LaunchConfig(
            min_nodes=compute.nodes,
            max_nodes=compute.nodes,
            nproc_per_node=processes,
            max_restarts=0,
            start_method=start_method,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            **where,
        )
        try:
            return cast(dict[int, bytes], elastic_launch(config, _work)(*worker))
        except SignalException as error:
            caught = error.sigval
        except ChildFailedError as error:
            rank, failure = min(error.failures.items(), key=lambda item: item[1].timestamp)
            total = processes * compute.nodes
            raise _failed(description, rank, total, failure, meeting) from None
        except DistError:
            if meeting is None:
                raise
            raise meeting.nobody_came() from None
    signal.raise_signal(caught)  # as if it had come now, to whoever handled it before
    raise KeyboardInterrupt


def _work(call: bytes | None, cpu: bool, threads: int, level: int) -> bytes | None:
    """A worker's life."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # by which the launcher ends it on Ctrl-C
    _speak_if_first(level)
    from accelerate.state import PartialState
    from torch import distributed

    with computing_threads(threads):
        try:
            PartialState(cpu=cpu)  # the process group, and this worker's own device
            if os.environ["GROUP_WORLD_SIZE"] != "1":
                sent = [call]
                distributed.broadcast_object_list(sent, src=0)
                call = sent[0]
            assert call is not None
            result = pickle.loads(call)()
            distributed.barrier()  # nobody leaves while others still need it
        except HeadstartError as error:
            raise HeadstartError(str(error)) from error  # by this name it is known again
        except Exception as error:
            if any(word in str(error).lower() for word in _LOST):
                time.sleep(_GRACE_SECONDS)
            raise
    distributed.destroy_process_group()
    return _dump(result) if is_first() else None


def _speak_if_first(level: int) -> None:
    if is_first():
        logging.basicConfig(format="%(message)s", stream=sys.stdout, level=logging.WARNING)
        logging.getLogger("headstart").setLevel(level)
    else:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")


def _failed(
    description: str, rank: int, total: int, failure: Any, meeting: Meeting | None
) -> HeadstartError:
    """What to tell the user of a worker that failed."""
    told = failure.error_file_data["message"]
    text = told["message"] if isinstance(told, dict) else ""  # nothing, where it was killed
    own = f"{HeadstartError.__name__}: "
    if text.startswith(own):
        return HeadstartError(text.removeprefix(own))
    if text:
        logger.error("%s", told["extraInfo"]["py_callstack"].rstrip())
        elsewhere = "; if it lost its connection, the cause stands on another machine"
        reason = f"failed ({text.splitlines()[0]}){elsewhere if meeting else ''}"
    elif failure.exitcode < 0:
        name = failure.signal_name()
        hint = ", often because memory ran out" if name == "SIGKILL" else ""
        reason = f"was ended by {name}{hint}"
    else:
        reason = f"ended with exit code {failure.exitcode}"
    return HeadstartError(
        f"{description}: worker {rank} (of {total}, counted from 0) {reason}. Run "
        "the same command again: what is finished is not done again, and a training under way goes "
        "on from its last checkpoint."
    )


class _Pickler(pickle.Pickler):
    """Memory-mapped files are sent as their paths."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, np.memmap):
            shared = share(thing)
            if isinstance(shared, MappedArray):
                return MappedArray.open, (shared,)
        return NotImplemented


def _dump(thing: Any) -> bytes:
    # As bytes, and not as torch's queues would send it: tensors in shared memory are the same for
    # all workers, each of which trains its own, and in a container there is little of it.
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(thing)
    return buffer.getvalue()


def _is_one_of_many() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _here(compute: ComputeParameters) -> int:
    """Processes of this machine."""
    if compute.processes == 1:
        return 1
    device = _device(compute)
    devices = 0
    if device == "cuda":
        import torch

        devices = torch.cuda.device_count()
    if compute.processes == "auto":
        return max(1, devices)
    if device == "cuda" and compute.processes > devices:
        raise HeadstartError(
            f"compute.processes: {compute.processes} processes need as many CUDA devices, there "
            f"{'is' if devices == 1 else 'are'} {devices}; lower it, or take auto."
        )
    if device == "mps":
        raise HeadstartError(
            "compute.processes: an MPS device cannot be shared; take 1, or compute.device: cpu."
        )
    return compute.processes


def _device(compute: ComputeParameters) -> str:
    from headstart.learning.encoders import choose_device

    return choose_device(compute).type


@contextmanager
def _own_signals() -> Iterator[None]:
    """The launcher handles signals for itself; afterwards they are handled as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [getattr(signal, n, None) for n in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")]
    before = {s: signal.getsignal(s) for s in handled if s is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quiet_launcher() -> Iterator[None]:
    """What the launcher has to say is said by `_failed`, in a sentence."""
    names = ("torch.distributed.elastic", "torch.distributed.launcher", "torch.multiprocessing")
    loggers = [logging.getLogger(name) for name in names]
    silent = logging.NullHandler()
    before = [one.propagate for one in loggers]
    for one in loggers:
        one.addHandler(silent)
        one.propagate = False
    try:
        yield
    finally:
        for one, propagate in zip(loggers, before, strict=True):
            one.removeHandler(silent)
            one.propagate = propagate
