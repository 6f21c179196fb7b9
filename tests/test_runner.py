"""The runner skips what is unchanged, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from headstart.datasets import ParquetDataset
from headstart.runner import IncrementalRunner

calls: list[str] = []


def double(table: pd.DataFrame, factor: int) -> pd.DataFrame:
    calls.append("double")
    return table * factor


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

    def go(factor: int = 2, **options: bool) -> list[str]:
        names = ("raw", "doubled", "more")
        catalog = DataCatalog(
            {n: ParquetDataset(filepath=str(tmp_path / f"{n}.parquet")) for n in names}
        )
        catalog["params:factor"] = MemoryDataset(factor)
        calls.clear()
        IncrementalRunner(**options).run(PIPELINE, catalog)
        return list(calls)

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
    assert "parameter factor changed" in caplog.text
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


def test_a_damaged_record_counts_as_none(run, tmp_path):
    run()
    (tmp_path / ".made_of" / "double.json").write_text("{")
    assert run() == ["double"]
