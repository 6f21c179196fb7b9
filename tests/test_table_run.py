"""Whole runs on a table of several tasks of one's own: report, results, reruns, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CATALOG = """
wells.target:
  type: headstart.datasets.TaskTableDataset
  filepath: data/01_raw/wells.csv
  task_column: well
  target_column: yield
"""
RUN = ("run", "--env", "test", "--params", "targets=wells")
METHODS = {"separate", "pooled", "pooled_with_task", "layer_sharing", "regularized", "pcgrad"}


def wells(seed: int = 0) -> pd.DataFrame:
    """Three tasks of sixty rows: two alike, and one that is their opposite."""
    rng = np.random.default_rng(seed)
    depth, rain = rng.normal(size=(2, 180))
    well = np.repeat(["north", "south", "west"], 60)
    slope = np.where(well == "west", -2.0, 2.0)
    made = slope * depth + 0.5 * rain + 0.1 * rng.normal(size=180)
    return pd.DataFrame({"well": well, "depth": depth, "rain": rain, "yield": made + 10})


def write(project: Path, table: pd.DataFrame) -> None:
    folder = project / "data" / "01_raw"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "wells.csv", index=False)
    catalog = project / "conf" / "test" / "catalog.yml"
    catalog.write_text(catalog.read_text() + CATALOG)
    draws = project / "conf/test/parameters_ingestion.yml"
    draws.write_text(draws.read_text().replace("newsgroups: [1, all]", "wells: [10, all]"))


def test_a_table_of_ones_own_gives_results_of_every_task_and_a_report(
    kedro: Any, project: Path
) -> None:
    table = wells()
    table.loc[4, "depth"] = np.nan
    table.loc[9, "yield"] = np.nan
    write(project, table)
    done = kedro(project, *RUN)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    reporting = project / "data/test/08_reporting"
    results = pd.read_parquet(reporting / "results.parquet")
    assert set(results["track"]) == {"tables"}
    assert set(results["method"]) == METHODS
    assert set(results["target"]) == {"wells", "wells.north", "wells.south", "wells.west"}
    assert set(results["metric"]) == {"rmse", "mae"}
    # The score of the target is the mean of its tasks'.
    one = results[
        (results["method"] == "pooled") & (results["seed"] == 0) & results["shots"].isna()
    ]
    rmse = one[one["metric"] == "rmse"].set_index("target")["value"]
    tasks = rmse[[f"wells.{name}" for name in ("north", "south", "west")]]
    assert np.isclose(rmse["wells"], tasks.mean())
    board = pd.read_csv(reporting / "leaderboard.csv")
    gains = board[(board["target"] == "wells") & (board["method"] == "pooled")]
    assert gains["gain"].notna().all()
    page = (reporting / "report.html").read_text(encoding="utf-8")
    assert "Whom learning together helps" in page
    assert "10 labeled rows per task" in page
    assert "labels per class" not in page.split('id="reading"')[0].split("<main>")[1]
    aside = pd.read_parquet(reporting / "quarantine.parquet")
    assert aside["path"].tolist() == ["wells.csv#9"]

    again = kedro(project, *RUN)
    assert again.returncode == 0
    assert results.equals(pd.read_parquet(reporting / "results.parquet"))


def test_a_method_that_is_not_there_is_named_before_anything_starts(
    kedro: Any, project: Path
) -> None:
    write(project, wells())
    done = kedro(project, *RUN[:-1], "targets=wells,tables.methods=poold")
    assert done.returncode != 0
    assert "did you mean 'pooled'" in done.stdout + done.stderr
