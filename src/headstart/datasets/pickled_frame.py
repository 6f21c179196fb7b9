"""A table in a pickle of pandas, read without unpickling it.

A pickle is a program: it names functions, and `pickle.load` calls them. Here the names are looked
up in a list of the few that a frame of numbers and text consists of, and each stands for an inert
record of what it was called with; any other name is refused. Nothing that the file names is
imported or called, of NumPy and pandas neither. The frame is then built anew from the recorded
bytes and text.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError

_OPEN: dict[str | None, Callable[[Path], Any]] = {
    None: lambda path: path.open("rb"),
    "bz2": bz2.open,
    "gzip": gzip.open,
    "xz": lzma.open,
}
# Numbers and truth values of so many bytes, or Python objects.
_DTYPES = {"f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1", "O8"}


class _Record:
    """One of the file's objects: what it would have been made with."""

    arguments: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *arguments: Any, **_: Any) -> _Record:
        record = super().__new__(cls)
        record.arguments = arguments
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Frame(_Record): ...


class _Manager(_Record): ...


class _Block(_Record): ...


class _Buffer(_Record): ...


class _Array(_Record): ...


class _Dtype(_Record): ...


class _Slice(_Record): ...


class _Index(_Record): ...


class _IndexKind(_Record): ...


_KNOWN = {
    "pandas.core.frame DataFrame": _Frame,
    "pandas.core.internals.managers BlockManager": _Manager,
    "pandas._libs.internals _unpickle_block": _Block,
    "pandas.core.indexes.base _new_Index": _Index,
    "pandas.core.indexes.base Index": _IndexKind,
    "pandas.core.indexes.range RangeIndex": _IndexKind,
    "numpy dtype": _Dtype,
    "numpy ndarray": _Array,
    **{
        f"numpy.{core}.{name}": record
        for core in ("core", "_core")
        for name, record in (("numeric _frombuffer", _Buffer), ("multiarray _reconstruct", _Array))
    },
    "builtins slice": _Slice,
}


class _RecordingUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        known = _KNOWN.get(f"{module} {name}")
        if known is None:
            raise DatasetError(
                f"it asks for {module}.{name}, which no table of numbers and text needs"
            )
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise DatasetError("it refers to objects outside of it")


class PickledFrameDataset(AbstractDataset[Any, pd.DataFrame]):
    """A frame of numbers and text that `DataFrame.to_pickle` of pandas before 3 wrote.

    For data that are to be had in this form alone; nothing of the project writes it.

    Args:
        filepath: the file.
        compression: "xz", "gzip", "bz2", or None.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        compression: str | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        if compression not in _OPEN:
            raise DatasetError(f"compression: '{compression}' is none of xz, gzip, bz2, null.")
        self._filepath = Path(filepath)
        self._compression = compression
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the frame; its row labels are left out.

        Raises:
            DatasetError: the file is missing or damaged, or holds anything but a frame of numbers
                and text.
        """
        if not self._filepath.is_file():
            raise DatasetError(f"The pickled table {self._filepath} does not exist.")
        try:
            with _OPEN[self._compression](self._filepath) as file:
                return _frame(_record(file))
        except MemoryError:
            raise
        except Exception as error:
            # A damaged pickle ends in almost any exception: UnpicklingError, EOFError, TypeError,
            # KeyError, struct.error, ... All mean the same.
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DatasetError(
                f"The pickled table {self._filepath} cannot be read: it is damaged, or holds more "
                f"than numbers and text ({first}). Convert it to Parquet or CSV where it can be "
                "trusted, and read that instead."
            ) from error

    def save(self, data: Any) -> None:
        """Always refused: nothing is pickled.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"The pickled table {self._filepath} can only be read.")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "compression": self._compression}


def _record(file: BinaryIO) -> _Record:
    record = _RecordingUnpickler(file).load()
    return _expect(record, _Frame)


def _frame(record: _Record) -> pd.DataFrame:
    manager = _expect(record.state["_mgr"], _Manager)
    blocks, (names, rows) = manager.arguments
    columns = _labels(names)
    length = len(_labels(rows))
    found: dict[int, np.ndarray] = {}
    for block in blocks:
        values, places, _ = _expect(block, _Block).arguments
        for position, column in zip(_positions(places), _array(values), strict=True):
            found[position] = column
    if sorted(found) != list(range(len(columns))):
        raise ValueError("columns without values")
    frame = pd.DataFrame({i: found[i] for i in range(len(columns))}).infer_objects()
    if len(frame) != length:
        raise ValueError("columns of another length than the table")
    frame.columns = pd.Index([str(name) for name in columns])
    return frame


def _positions(places: Any) -> list[int]:
    """Of a block's columns among all columns."""
    if isinstance(places, _Slice):
        start, stop, step = places.arguments
        return list(range(start, stop, step))
    return [int(i) for i in _array(places)]


def _labels(index: Any) -> list[Any]:
    """Names of columns, or of rows."""
    _, parts = _expect(index, _Index).arguments
    if "data" in parts:
        return list(_array(parts["data"]))
    return list(range(parts["start"], parts["stop"], parts["step"]))


def _array(record: Any) -> np.ndarray:
    if isinstance(record, _Buffer):
        data, kind, shape, order = record.arguments
    else:
        _, shape, kind, fortran, data = _expect(record, _Array).state
        order = "F" if fortran else "C"
    dtype = _dtype(kind)
    if dtype.kind != "O":
        values = np.frombuffer(bytes(data), dtype)
    else:
        if not all(value is None or isinstance(value, str | int | float) for value in data):
            raise ValueError("objects that are neither numbers nor text")
        values = np.empty(len(data), dtype=object)
        values[:] = data
    return np.reshape(values, shape, order="F" if order == "F" else "C")


def _dtype(record: Any) -> np.dtype:
    code = _expect(record, _Dtype).arguments[0]
    if code not in _DTYPES:
        raise ValueError(f"values of the kind '{code}'")
    return np.dtype(object) if code == "O8" else np.dtype(code).newbyteorder(record.state[1])


def _expect(record: Any, kind: type[_Record]) -> Any:
    if not isinstance(record, kind):
        raise ValueError(f"a {type(record).__name__} where a {kind.__name__} should be")
    return record
