"""One run at a time on a data folder.

The lock is the operating system's (flock), on a file in the folder: it ends with the process that
holds it, however that dies, so a killed run leaves nothing to tidy up.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from headstart.datasets.atomic import replace_whole
from headstart.errors import HeadstartError

logger = logging.getLogger(__name__)

_LOCK = ".run.lock"
_HOLDER = ".run.json"  # who holds the lock, for messages alone

_folder: Path | None = None


def use(folder: Path | None) -> None:
    """Lock this folder from now on (called once a session, by a hook).

    Args:
        folder: where the project's data are; None: no folder of a file system.
    """
    global _folder
    _folder = folder


@contextmanager
def only_run(wait: bool) -> Iterator[None]:
    """Keep other runs from the data folder.

    Args:
        wait: until another run has ended, instead of raising.

    Raises:
        HeadstartError: another run is under way; says which.
    """
    if _folder is None:
        yield
        return
    _folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(_folder / _LOCK), _folder / _HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = f"Another run works on {_folder}{_who(holder)}."
        if not wait:
            raise HeadstartError(
                f"{other} Two at once would mix their results. Run again when it has ended, or "
                "add --wait, which waits for that."
            ) from None
        logger.info("%s This one waits until it has ended.", other)
        lock.acquire()
    try:
        with replace_whole(holder) as beside:
            since = datetime.now().astimezone().isoformat(timespec="seconds")
            me = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            beside.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _who(holder: Path) -> str:
    try:
        other = json.loads(holder.read_text(encoding="utf-8"))
        return f" (process {other['process']} on {other['host']}, since {other['since']})"
    except (OSError, ValueError, KeyError):
        return ""  # it has only just begun, or is about to end
