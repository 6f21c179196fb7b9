"""Arrays that lie in a memory-mapped file, handed to another process as the file's path."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np


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
