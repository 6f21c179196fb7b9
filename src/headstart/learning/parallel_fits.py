"""Many independent fits at once, each in a process of its own.

On a CPU a small network trains fastest on one thread, with as many fits side by side as there are
cores; and on one thread its result does not depend on how many cores there are. So every fit gets
one thread, whether it runs in a worker or, with one worker, in this process.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from tqdm import tqdm

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters, usable_processors

if TYPE_CHECKING:  # the first is not there on Windows
    from multiprocessing.context import ForkServerContext, SpawnContext

_SLOW_IMPORTS = ["torch._dynamo", "timm"]

Plan = TypeVar("Plan")
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class MappedArray:
    """Where a memory-mapped array lies, so that another process maps the same file.

    Attributes:
        path: the file.
        dtype: NumPy's name of the type.
        shape: of the array.
        offset: of its first byte in the file.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.ndarray:
        """Map the file, to be read only."""
        return np.memmap(
            self.path, dtype=np.dtype(self.dtype), mode="r", shape=self.shape, offset=self.offset
        )


def share(array: np.ndarray) -> np.ndarray | MappedArray:
    """What to send to a worker in place of an array: a whole memory-mapped file as its path.

    Args:
        array: any array; a part of a mapped one, or one in memory, is sent as it is.
    """
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.filename:
        return MappedArray(str(array.filename), array.dtype.str, array.shape, int(array.offset))
    return array


def opened(array: np.ndarray | MappedArray) -> np.ndarray:
    """The array that `share` was given."""
    return array.open() if isinstance(array, MappedArray) else array


def count_workers(compute: ComputeParameters) -> int:
    """How many fits run at once: `compute.parallel_fits`; "auto": one a CPU core, one on a GPU.

    One where a launcher has started several processes: these share out each training instead.

    Args:
        compute: parameters of the machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    if compute.parallel_fits != "auto":
        return compute.parallel_fits
    if _device(compute) != "cpu":
        return 1
    return usable_processors()


def run_fits(
    function: Callable[[Plan, Job], Result],
    plan: Plan,
    jobs: Sequence[Job],
    *,
    compute: ComputeParameters,
    description: str = "fits",
) -> Iterator[Result]:
    """Run one function on many jobs.

    A worker dies with this process, however that ends. An exception in a worker is raised here as
    it is, and the other workers are stopped.

    Args:
        function: of a module, called with the plan and a job.
        plan: what all jobs share, sent to each worker once; large arrays in it by `share`.
        jobs: each is sent to one worker.
        compute: number of workers, device, progress bar.
        description: stands before the progress bar, and in messages.

    Yields:
        The results, in the order of the jobs.

    Raises:
        HeadstartError: a worker died.
    """
    bound = partial(function, plan)
    workers = min(count_workers(compute), len(jobs))
    threads = 1 if _device(compute) == "cpu" else None
    with (
        tqdm(total=len(jobs), desc=description, unit="fit", disable=not compute.progress) as bar,
        ExitStack() as stack,
    ):
        done: Iterator[tuple[int, Result]]
        if workers <= 1:
            stack.enter_context(_threads(threads))
            done = ((i, bound(job)) for i, job in enumerate(jobs))
        else:
            pool = stack.enter_context(_Pool(bound, workers, threads, description))
            done = pool.run(jobs)
        waiting: dict[int, Result] = {}
        due = 0
        for i, result in done:
            bar.update()
            waiting[i] = result
            while due in waiting:
                yield waiting.pop(due)
                due += 1


def run_apart(
    function: Callable[[Job], Result],
    job: Job,
    *,
    compute: ComputeParameters,
    description: str,
) -> Result:
    """Run a function on one job in a process of its own, in which nothing has run before.

    Args:
        function: of a module.
        job: its argument.
        compute: the device decides the number of threads.
        description: stands in messages.

    Raises:
        HeadstartError: the process died.
    """
    with _Pool(function, 1, 1 if _device(compute) == "cpu" else None, description) as pool:
        ((_, result),) = pool.run([job])
    return cast(Result, result)


class _Pool:
    """Worker processes, each with a pipe: a job goes in, an outcome comes out."""

    def __init__(
        self, function: Callable[[Any], Any], workers: int, threads: int | None, description: str
    ):
        self._function = function
        self._workers = workers
        self._threads = threads
        self._description = description
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}

    def __enter__(self) -> _Pool:
        context = _context(self._function)
        for _ in range(self._workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(self._function, theirs, self._threads), daemon=True
            )
            process.start()
            theirs.close()
            self._processes[ours] = process
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in self._processes.items():
            pipe.close()  # an idle worker ends when its pipe does
            process.terminate()
        for process in self._processes.values():
            process.join()

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yields number and result of each job, as they are done."""
        waiting = list(enumerate(jobs))[::-1]
        under_way: dict[Connection, int] = {}
        idle = list(self._processes)
        while waiting or under_way:
            while waiting and idle:
                pipe = idle.pop()
                i, job = waiting.pop()
                try:
                    pipe.send(job)
                except BrokenPipeError:
                    raise self._dead(pipe) from None
                under_way[pipe] = i
            ready = set(wait(list(under_way)))
            for pipe in [p for p in under_way if p in ready]:
                try:
                    error, result = pipe.recv()
                except (EOFError, ConnectionResetError):
                    raise self._dead(pipe) from None
                if error is not None:
                    raise error
                idle.append(pipe)
                yield under_way.pop(pipe), result

    def _dead(self, pipe: Connection) -> HeadstartError:
        process = self._processes[pipe]
        process.join(timeout=10)
        code = process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return HeadstartError(
            f"{self._description}: a worker process died ({how}), often because memory ran out. "
            "Run again: finished fits are kept, and the one under way goes on from its checkpoint. "
            f"With compute.parallel_fits below {self._workers} less memory is used at once."
        )


def _context(function: Callable[..., Any]) -> SpawnContext | ForkServerContext:
    """How workers are started: never by forking this process, in which torch has run threads.

    On Linux each is a fork of a small server, which has imported what takes seconds and run
    nothing; the server is started once, and ends with this process.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    module = getattr(function, "func", function).__module__
    context.set_forkserver_preload(["__main__", module, *_SLOW_IMPORTS])
    return context


def _work(function: Callable[[Any], Any], pipe: Connection, threads: int | None) -> None:
    """A worker's life: jobs in, outcomes out, until the pipe or the parent ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    tqdm.set_lock(threading.RLock())  # its own would leave a semaphore behind
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    with _threads(threads):
        while True:
            try:
                job = pipe.recv()
            except (EOFError, OSError):
                return
            outcome: tuple[Exception | None, Any]
            try:
                outcome = (None, function(job))
            except Exception as error:
                # What went wrong where, for whoever reads the traceback in the parent.
                error.add_note(f"(in worker process {os.getpid()})")
                outcome = (error, None)
            pipe.send(outcome)


def _die_with(sentinel: int) -> None:
    """End this process once the parent is gone, in the midst of whatever it is doing."""
    wait([sentinel])
    os._exit(1)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch and NumPy compute on so many threads; None: as they are."""
    if count is None:
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


def _device(compute: ComputeParameters) -> str:
    from headstart.learning.encoders import choose_device

    return choose_device(compute).type
