"""The runner skips what is unchanged, and nothing else."""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from headstart import runner
from headstart.datasets import CheckpointsDataset, ParquetDataset
from headstart.errors import HeadstartError
from headstart.fingerprint import library_versions, path_fingerprint
from headstart.runner import IncrementalRunner

calls: list[str] = []


def double(table: pd.DataFrame, factor: Any) -> pd.DataFrame:
    calls.append("double")
    return table * (factor if isinstance(factor, int) else 2)


def add_one(table: pd.DataFrame) -> pd.DataFrame:
    calls.append("add_one")
    return table + 1


PIPELINE = Pipeline(
    [
        Node(double, inputs=["raw", "params:factor"], outputs="doubled", name="double"),
        Node(add_one, inputs="doubled", outputs="more", name="add_one"),
    ]
)


@pytest.fixture
def run(tmp_path: Path):
    """Runs the two nodes and returns the names of those that really ran."""
    pd.DataFrame({"x": [1, 2]}).to_parquet(tmp_path / "raw.parquet")

    def go(factor: object = 2, folder: Path = tmp_path, **options: bool) -> list[str]:
        names = ("raw", "doubled", "more")
        catalog = DataCatalog(
            {n: ParquetDataset(filepath=str(folder / f"{n}.parquet")) for n in names}
        )
        catalog["params:factor"] = MemoryDataset(factor)
        calls.clear()
        IncrementalRunner(**options).run(PIPELINE, catalog)
        return list(calls)

    go.folder = tmp_path
    return go


def test_a_second_run_does_nothing(run):
    assert run() == ["double", "add_one"]
    assert run() == []


def test_force_does_everything(run):
    run()
    assert run(force=True) == ["double", "add_one"]


def test_a_changed_parameter_reruns_its_node_and_what_depends_on_it(run, caplog):
    run()
    with caplog.at_level(logging.INFO):
        assert run(factor=3) == ["double", "add_one"]
    assert "double (parameter factor changed: 2 -> 3)" in caplog.text
    assert run(factor=3) == []


def test_a_change_that_ends_in_the_same_data_goes_no_further(run, tmp_path):
    run()
    pd.DataFrame({"x": [3, 6]}).to_parquet(tmp_path / "raw.parquet")
    assert run() == ["double", "add_one"]
    pd.DataFrame({"x": [2, 4]}).to_parquet(tmp_path / "raw.parquet")
    assert run(factor=3) == ["double"]  # 2 x 3 = 6 and 4 x 3 = 12, as before


def test_touching_a_file_changes_nothing(run, tmp_path):
    run()
    for path in tmp_path.glob("*.parquet"):
        path.touch()
    assert run() == []


def test_a_flipped_byte_is_noticed_and_repaired(run, tmp_path):
    run()
    path = tmp_path / "doubled.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    assert run() == ["double"]
    assert path.read_bytes() == whole


def test_a_deleted_output_is_made_again(run, tmp_path):
    run()
    (tmp_path / "more.parquet").unlink()
    assert run() == ["add_one"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"made_of"', '{"made_of": {}, "outputs": {}}', "\udcff"]
)
def test_a_damaged_record_counts_as_none(run, tmp_path, text):
    run()
    record = tmp_path / ".made_of" / "double.json"
    record.write_text(text, errors="surrogateescape")
    assert run() == ["double"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "outputs": None}))
    assert run() == ["double"]


def test_a_file_that_cannot_be_read(run, tmp_path, monkeypatch, caplog):
    """One that a node makes is made again; another is named."""
    run()
    broken = ""

    def of_disk(path: Path) -> str | None:
        if path.name == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return path_fingerprint(path)

    def mend(table: pd.DataFrame, factor: int) -> pd.DataFrame:
        nonlocal broken
        broken = ""
        return double(table, factor)

    monkeypatch.setattr(runner, "path_fingerprint", of_disk)
    broken = "raw.parquet"
    with pytest.raises(HeadstartError, match=r"raw\.parquet cannot be read"):
        run()
    assert calls == []
    broken = "doubled.parquet"
    monkeypatch.setattr(PIPELINE.nodes[0], "_func", functools.wraps(double)(mend))
    with caplog.at_level(logging.INFO):
        assert run() == ["double"]
    assert "output doubled cannot be read" in caplog.text


def test_time_stamps_and_the_clock_say_nothing(run, tmp_path, monkeypatch):
    run()
    for at, clock in ((0, 4e9), (4e9, 0)):
        for path in tmp_path.rglob("*"):
            os.utime(path, (at, at))
        monkeypatch.setattr(time, "time", lambda now=clock: now)
        assert run() == []
    assert run(factor=3) == ["double", "add_one"]


def test_another_machine_with_the_same_data_does_nothing(run, tmp_path, monkeypatch):
    """Neither records nor fingerprints hold a path, a host or a time."""
    run()
    elsewhere = tmp_path / "mounted" / "elsewhere"
    shutil.copytree(tmp_path, elsewhere, ignore=shutil.ignore_patterns("mounted"))
    assert run(folder=elsewhere) == []
    for record in elsewhere.rglob(".made_of/*.json"):
        assert str(tmp_path) not in record.read_text()
    monkeypatch.setitem(library_versions(), "numpy", "1.0")
    assert run(folder=elsewhere) == ["double", "add_one"]


def explained(run, capsys, **options: object) -> dict[str, str]:
    """Node -> run or skip, and why; nothing is run."""
    capsys.readouterr()
    assert run(explain=True, **options) == []
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:-1]]
    return {name: " ".join(rest.split()) for name, rest in lines}


def test_it_explains_what_it_would_do_and_does_nothing(run, capsys, tmp_path):
    assert explained(run, capsys) == {"double": "run new", "add_one": "run new"}
    assert not (tmp_path / "doubled.parquet").exists()
    run(factor={"of": {"x": 2, "y": 1}})
    same = {"double": "skip unchanged", "add_one": "skip unchanged"}
    follows = {"add_one": "run input doubled will be made anew"}
    assert explained(run, capsys, factor={"of": {"y": 1, "x": 2}}) == same
    assert explained(run, capsys, factor={"of": {"x": 3, "y": 1}}) == {
        "double": "run parameter factor.of.x changed: 2 -> 3",
        **follows,
    }
    assert explained(run, capsys, factor={"of": {"y": 1}}) == {
        "double": "run parameter factor.of.x is gone",
        **follows,
    }
    assert explained(run, capsys, factor={"of": {"x": 2, "y": 1}}, force=True) == {
        "double": "run asked for",
        "add_one": "run asked for",
    }
    pd.DataFrame({"x": [7]}).to_parquet(tmp_path / "raw.parquet")
    (tmp_path / "more.parquet").unlink()
    assert explained(run, capsys, factor={"of": {"x": 2, "y": 1}}) == {
        "double": "run input raw changed",
        "add_one": "run input doubled will be made anew; output more missing",
    }
    (tmp_path / "doubled.parquet").write_bytes(b"x")
    reasons = explained(run, capsys, factor={"of": {"x": 2, "y": 1}})["double"]
    assert "output doubled damaged" in reasons


def test_an_edit_in_a_datasets_class_is_an_edit_of_the_nodes_that_use_it(run, capsys):
    run()
    record = Path(next(run.folder.rglob(".made_of/double.json")))
    content = json.loads(record.read_text())
    name = "headstart.datasets.files.ParquetDataset"
    content["made_of"]["code"][name] = "before the edit"
    record.write_text(json.dumps(content))
    assert explained(run, capsys)["double"] == f"run code {name} changed"


def test_the_code_of_a_run_is_that_of_its_start(run, monkeypatch):
    """A file that is edited while the run is under way counts as changed in the next one."""
    units = {"tests.double": "as loaded"}
    monkeypatch.setattr(runner, "code_units", lambda function: dict(units))

    def edit_and_double(table: pd.DataFrame, factor: int) -> pd.DataFrame:
        units["tests.double"] = "edited"
        return double(table, factor)

    monkeypatch.setattr(PIPELINE.nodes[0], "_func", functools.wraps(double)(edit_and_double))
    assert run() == ["double", "add_one"]
    assert run() == ["double", "add_one"]
    assert run() == []


def test_checkpoints_of_a_killed_run_go_when_the_node_is_found_done(tmp_path):
    folder = tmp_path / "checkpoints"

    def train(checkpoints: object) -> pd.DataFrame:
        (folder / "seed_0").mkdir(parents=True)
        return pd.DataFrame({"x": [1]})

    train.__qualname__ = "double"
    pipeline = Pipeline([Node(train, inputs="checkpoints", outputs="scores", name="train")])

    def go() -> None:
        catalog = DataCatalog(
            {
                "checkpoints": CheckpointsDataset(filepath=str(folder)),
                "scores": ParquetDataset(filepath=str(tmp_path / "scores.parquet")),
            }
        )
        IncrementalRunner().run(pipeline, catalog)

    go()
    assert not folder.exists()
    (folder / "seed_0").mkdir(parents=True)  # killed before it was deleted
    go()
    assert not folder.exists()
