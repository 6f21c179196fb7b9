"""Whole runs on a table of several tasks of one's own: report, results, reruns, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader

from headstart.learning.configuration import ComputeParameters
from headstart.learning.fits import IDENTITY
from headstart.learning.multi_task.fit import fit_tasks
from headstart.learning.multi_task.parameters import TaskParameters
from headstart.learning.multi_task.tasks import tasks_of
from headstart.learning.splits import draws_of
from headstart.settings import CONFIG_LOADER_ARGS

CATALOG = """
wells.target:
  type: headstart.datasets.TaskTableDataset
  filepath: data/01_raw/wells.csv
  task_column: well
  target_column: yield
"""
RUN = ("run", "--env", "test", "--params", "targets=wells,planning.check.enabled=true")
PREDICT = ("run", "--env", "test", "--pipelines", "table_prediction", "--params")
NEW = "targets=wells,prediction.target=wells,prediction.rows="
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
    plans = pd.read_parquet(reporting / "predicted_and_measured.parquet")
    assert set(plans["method"]) >= METHODS
    assert (plans["predicted_bytes"] > 0).all()
    assert "Memory and time of each training, predicted and measured" in page
    aside = pd.read_parquet(reporting / "quarantine.parquet")
    assert aside["path"].tolist() == ["wells.csv#9"]

    again = kedro(project, *RUN)
    assert again.returncode == 0
    assert results.equals(pd.read_parquet(reporting / "results.parquet"))

    # The model that was handed over, asked for the test rows of the user's file.
    splits = pd.read_parquet(project / "data/test/03_primary/wells/splits.parquet")
    test = splits[splits["split"] == "test"]
    rows = test["path"].str.removeprefix("wells.csv#").astype(int)
    new = table.loc[rows].drop(columns="yield")
    new.to_parquet(project / "new.parquet", index=False)
    done = kedro(project, *PREDICT, NEW + "new.parquet")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = pd.read_parquet(project / "data/test/07_model_output/predictions_wells.parquet")
    assert said["path"].tolist() == [f"new.parquet#{row}" for row in range(len(new))]
    assert said["task"].tolist() == new["well"].tolist()
    expected, config = refit(project, test["row"].to_numpy())
    assert np.allclose(said["predicted"], expected, atol=1e-6, rtol=0)
    errors = said["predicted"].to_numpy() - table.loc[rows, "yield"].to_numpy()
    for task, own in pd.Series(errors).groupby(said["task"].to_numpy()):
        assert np.isclose(config["test_of_tasks"][task]["rmse"], np.sqrt((own**2).mean()))
    card = (reporting / "model_card_wells.md").read_text(encoding="utf-8")
    assert "Say of each new row of one of the 3 tasks a number: yield." in card
    assert f"| {config['test']['rmse']:.3f} |" in card
    assert "probabilit" not in card
    assert "image" not in card
    assert "ordered in time" not in card

    new.assign(well="east").drop(columns="rain").to_csv(project / "new.csv", index=False)
    done = kedro(project, *PREDICT, NEW + "new.csv")
    assert done.returncode == 1
    assert "Error: The table new.csv lacks the column 'rain'" in done.stderr


def refit(project: Path, test: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """What the recommended method says of the test rows, fitted anew on draw 0."""
    data = project / "data/test"
    table = pd.read_parquet(data / "02_intermediate/wells/table.parquet")
    draws = pd.read_parquet(data / "03_primary/wells/draws.parquet")
    columns = json.loads((data / "02_intermediate/wells/columns.json").read_text())
    config = json.loads((data / "06_models/wells/config.json").read_text())
    answers = json.loads((data / "08_reporting/recommendations.json").read_text())
    assert config["method"] == answers["wells"]["method"]
    loader = OmegaConfigLoader(str(project / "conf"), env="test", **CONFIG_LOADER_ARGS)
    learning = loader["parameters"]["multi_task"]["learning"]
    draw = next(d for d in draws_of(draws, seeds=1) if d.shots is None)
    fit, _ = fit_tasks(
        config["method"],
        tasks_of("wells", table, columns),
        train=np.concatenate([draw.train, draw.validation]),
        validation=draw.train[:0],
        test=test,
        parameters=TaskParameters.model_validate(learning),
        compute=ComputeParameters(device="cpu", progress=False),
        seed=draw.seed,
        identity=dict.fromkeys(IDENTITY),
        chosen=config["chosen"],
    )
    return fit.test, config


def test_a_method_that_is_not_there_is_named_before_anything_starts(
    kedro: Any, project: Path
) -> None:
    write(project, wells())
    done = kedro(project, *RUN[:-1], "targets=wells,tables.methods=poold")
    assert done.returncode != 0
    assert "did you mean 'pooled'" in done.stdout + done.stderr
