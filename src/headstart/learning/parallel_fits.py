"""Many independent fits at once, each in a process of its own.

On a CPU a small network trains fastest on one thread, with as many fits side by side as there are
cores; and on one thread its result does not depend on how many cores there are. So every fit gets
one thread, whether it runs in a worker or, with one worker, in this process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from tqdm import tqdm

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters, usable_processors
from headstart.learning.processes import count_processes, in_processes, is_first
from headstart.learning.workers import computing_threads, die_with_parent, worker_context

Plan = TypeVar("Plan")
Job = TypeVar("Job")
Result = TypeVar("Result")


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
    shared: bool = True,
) -> Iterator[Result]:
    """Run one function on many jobs.

    With `compute.processes` above one the jobs are done one after the other, each shared out among
    all processes. Otherwise each is done by one worker. A worker dies with this process, however
    that ends. An exception in a worker is raised here as it is, and the other workers are stopped.

    Args:
        function: of a module, called with the plan and a job.
        plan: what all jobs share, sent to each worker once; large arrays in it by `share`.
        jobs: each is sent to one worker.
        compute: number of workers, device, progress bar.
        description: stands before the progress bar, and in messages.
        shared: whether a job can be shared out; False: never do so.

    Yields:
        The results, in the order of the jobs.

    Raises:
        HeadstartError: a worker died.
    """
    bound = partial(function, plan)
    if shared and count_processes(compute) > 1:
        call = partial(_one_by_one, bound, jobs, compute.progress, description)
        yield from in_processes(call, compute, description)
        return
    workers = min(count_workers(compute), len(jobs))
    threads = 1 if _device(compute) == "cpu" else None
    with (
        tqdm(total=len(jobs), desc=description, unit="fit", disable=not compute.progress) as bar,
        ExitStack() as stack,
    ):
        done: Iterator[tuple[int, Result]]
        if workers <= 1:
            stack.enter_context(computing_threads(threads))
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


def _one_by_one(
    function: Callable[[Job], Result], jobs: Sequence[Job], progress: bool, description: str
) -> list[Result]:
    """All jobs, in each of several processes at once."""
    bar = tqdm(jobs, desc=description, unit="fit", disable=not (progress and is_first()))
    return [function(job) for job in bar]


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
        context = worker_context(getattr(self._function, "func", self._function).__module__)
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


def _work(function: Callable[[Any], Any], pipe: Connection, threads: int | None) -> None:
    """A worker's life: jobs in, outcomes out, until the pipe or the parent ends."""
    die_with_parent()
    with computing_threads(threads):
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


def _device(compute: ComputeParameters) -> str:
    from headstart.learning.encoders import choose_device

    return choose_device(compute).type
