"""A file is either whole or absent, also after a kill and on a full disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from headstart.datasets import (
    CSVDataset,
    ImageStoreDataset,
    JSONDataset,
    ParquetDataset,
    PlotlyDataset,
    TextDataset,
)
from headstart.datasets.atomic import replace_whole
from headstart.learning.images import ImageChunk

TABLE = pd.DataFrame({"x": [1, 2, 3], "label": ["a", None, "ä"]})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_replaces_a_file_and_a_folder_a_folder(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replace_whole(tmp_path / "deep" / "file") as beside:
            beside.write_text(content)
        with replace_whole(tmp_path / "folder") as beside:
            beside.mkdir()
            (beside / content).write_text(content)
    assert names(tmp_path) == ["deep", "file", "folder", "new"]
    assert (tmp_path / "deep" / "file").read_text() == "new"


def _fail(path: Path) -> None:
    with replace_whole(path) as beside:
        beside.write_text("half")
        raise KeyError


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError):
        _fail(path)
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_left_overs_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "folder.partial").mkdir()
    (tmp_path / "folder.partial" / "half").write_text("half")
    (tmp_path / "folder.old").mkdir()
    with replace_whole(tmp_path / "folder") as beside:
        beside.mkdir()
    assert names(tmp_path) == ["folder"]


def _write_forever(path: Path) -> None:
    for i in range(10_000):
        with replace_whole(path) as beside:
            beside.mkdir()
            for part in ("a", "b"):
                (beside / part).write_text(f"{i}" * 50_000)


@pytest.mark.parametrize("milliseconds", [5, 20, 50, 90])
def test_a_killed_process_leaves_a_whole_folder_or_none(tmp_path: Path, milliseconds: int) -> None:
    folder = tmp_path / "folder"
    process = multiprocessing.get_context("fork").Process(target=_write_forever, args=(folder,))
    process.start()
    while not folder.exists():
        pass
    process.join(milliseconds / 1000)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    if folder.exists():
        a, b = ((folder / part).read_text() for part in ("a", "b"))
        assert a == b
        assert len(a) >= 50_000


def figure() -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))


@pytest.mark.parametrize(
    ("dataset", "suffix", "data"),
    [
        (ParquetDataset, "parquet", TABLE),
        (CSVDataset, "csv", TABLE),
        (JSONDataset, "json", {"a": [1, None], "ä": 0.5}),
        (TextDataset, "html", "<p>ä</p>\n"),
        (PlotlyDataset, "json", figure()),
    ],
)
def test_datasets_write_whole_files_that_come_back(
    tmp_path: Path, dataset: type[AbstractDataset], suffix: str, data: object
) -> None:
    path = tmp_path / f"file.{suffix}"
    one = dataset(filepath=str(path))  # type: ignore[call-arg]
    assert not one.exists()
    one.save(data)
    first = path.read_bytes()
    loaded = one.load()
    if isinstance(data, pd.DataFrame):
        pd.testing.assert_frame_equal(loaded, data)
    else:
        assert loaded == data
    one.save(data)
    assert path.read_bytes() == first  # equal content, equal bytes
    assert names(tmp_path) == [path.name]
    broken = object()
    with pytest.raises(DatasetError):
        one.save(broken)
    assert path.read_bytes() == first
    assert names(tmp_path) == [path.name]


def test_previews_for_kedro_viz(tmp_path: Path) -> None:
    parquet = ParquetDataset(filepath=str(tmp_path / "t.parquet"))
    parquet.save(TABLE)
    assert parquet.preview(nrows=2)["data"][0] == [1, "a"]
    csv = CSVDataset(filepath=str(tmp_path / "t.csv"))
    csv.save(TABLE)
    assert len(csv.preview(nrows=1)["data"]) == 1
    plot = PlotlyDataset(filepath=str(tmp_path / "f.json"))
    plot.save(figure())
    assert plot.preview()["data"][0]["y"] == [3, 4]
    text = JSONDataset(filepath=str(tmp_path / "j.json"))
    text.save({"a": 1})
    assert text.preview() == '{"a": 1}'


def test_every_type_can_be_named_in_the_catalog_without_loading_torch() -> None:
    code = """
import sys, headstart.datasets
from kedro.io import DataCatalog
needed = {
    "ConfigurationDataset": {"model": None},
    "DeviceMemoryDataset": {},
    "GlyphsDataset": {"scripts": {}, "fonts": {}, "examples": 1, "size": 28},
    "ImagePatchesDataset": {"of": {"x": {}}, "size": 8, "stride": 8},
    "ModelConfigurationsDataset": {"models": {}},
    "PackageDataset": {"package": "x", "inside": "x", "dataset": {}},
    "TaskTableDataset": {"filepath": "x", "task_column": "t", "target_column": "y"},
    "TorchvisionDataset": {"name": "MNIST", "filepath": "x"},
    "WordVectorsDataset": {"filepath": "x", "matrix": "m", "words": "w"},
}
types = [name for name in dir(headstart.datasets) if name.endswith("Dataset")]
catalog = DataCatalog.from_config({
    name: {"type": f"headstart.datasets.{name}", **needed.get(name, {"filepath": "x"})}
    for name in types
})
assert len([catalog[name] for name in catalog.keys()]) == len(types) > 20
assert not {"torch", "transformers", "sklearn", "torchvision"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(DatasetError, match="NoSuchDataset"):
        DataCatalog.from_config({"x": {"type": "headstart.datasets.NoSuchDataset"}}).get("x")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def chunks() -> Iterator[ImageChunk]:
    rows = pd.DataFrame({c: ["x"] * 100 for c in ("path", "label", "digest")}, dtype="str")
    rows["reason"] = pd.Series([None] * 100, dtype="str")
    for _ in range(20):
        yield ImageChunk(np.zeros((100, 32, 32, 3), dtype=np.uint8), rows)


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        (TextDataset, "x" * 2_000_000),
        (ParquetDataset, pd.DataFrame({"x": np.random.default_rng(0).random(300_000)})),
        (CSVDataset, pd.DataFrame({"x": np.random.default_rng(0).random(300_000)})),
        (ImageStoreDataset, chunks()),
    ],
)
def test_a_full_disk(small_disk: Path, dataset: type[AbstractDataset], data: object) -> None:
    path = small_disk / "results"
    with pytest.raises(DatasetError) as error:
        dataset(filepath=str(path)).save(data)  # type: ignore[call-arg]
    cause = error.value.__cause__
    assert isinstance(cause, OSError)
    assert (cause.errno, cause.filename) == (errno.ENOSPC, str(path))
    assert names(small_disk) == []
