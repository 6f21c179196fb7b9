"""A file is either whole or absent: what is written is written beside and renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_whole(path: Path) -> Iterator[Path]:
    """Write a file or a folder so that a killed process leaves the old one, or nothing.

    Yields a path beside the wanted one; whatever the caller makes there, a file or a folder, is
    flushed to the disk and renamed. After an error nothing is left there.

    Args:
        path: where the file or the folder shall stand; what stands there is replaced.

    Raises:
        OSError: the file cannot be written; a full disk is told with the name of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    _remove(beside)  # of a run that was killed
    try:
        yield beside
        _flush(beside)
        _rename(beside, path)
    except BaseException as error:
        _remove(beside)
        full = _disk_full(error)
        if full is not None:
            raise OSError(full.errno, os.strerror(errno.ENOSPC), str(path)) from None
        raise


def _rename(beside: Path, path: Path) -> None:
    # A folder cannot be renamed onto another, and to delete the old one first would leave half
    # of it behind for a moment.
    old = path.with_name(path.name + ".old")
    _remove(old)
    if path.is_dir():
        path.rename(old)
    beside.replace(path)
    _flush_entry(path.parent)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    for entry in (path, *path.rglob("*")) if path.is_dir() else (path,):
        _flush_entry(entry)


def _flush_entry(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle on a folder to flush
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_full(error: BaseException | None) -> OSError | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__ or error.__context__
    return None
