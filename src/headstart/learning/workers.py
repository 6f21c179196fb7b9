"""What all worker processes of this project have in common: how they start, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:  # the first is not there on Windows
    from multiprocessing.context import ForkServerContext, SpawnContext

_SLOW_IMPORTS = ["torch._dynamo", "timm", "scipy.optimize", "headstart.learning.training"]


def worker_context(module: str) -> SpawnContext | ForkServerContext:
    """How workers are started: never by forking this process, in which torch has run threads.

    On Linux each is a fork of a small server, which has imported what takes seconds and run
    nothing; the server is started once, and ends with this process.

    Args:
        module: that the workers' function is of.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", module, *_SLOW_IMPORTS])
    return context


def die_with_parent() -> None:
    """End this worker once its parent is gone, in the midst of whatever it is doing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    tqdm.set_lock(threading.RLock())  # its own would leave a semaphore behind
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


@contextmanager
def computing_threads(count: int | None) -> Iterator[None]:
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


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
