"""Ingestion of tables as a pipeline: from a file with good and bad rows to features and draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from headstart.errors import HeadstartError
from headstart.experiment import read_experiment
from headstart.learning.splits import draws_of
from headstart.pipelines.ingestion import create_quarantine_pipeline, create_table_pipeline
from headstart.pipelines.ingestion.parameters import (
    DrawParameters,
    IngestionParameters,
    TableIngestionParameters,
)

SETTINGS: dict[str, Any] = {
    **{"image_size": 16, "resize": "crop", "chunk_size": 4},
    **{"max_bad_share": 0.5, "test_share": 0.25, "split_seed": 0},
}
TABLES = {"min_rows": 12, "missing_share": 0.1, "most_categories": 5}
PLACE = {"positions": {"oslo": [59.9, 10.8], "rome": [41.9, 12.5]}}
Run = Callable[..., DataCatalog]


def weather(hours: int = 80) -> pd.DataFrame:
    """Two cities' temperatures, which rise by a degree a day and vary."""
    rng = np.random.default_rng(0)
    frames = []
    for city, level in (("oslo", 5.0), ("rome", 20.0)):
        clock = np.arange(hours)
        frame = pd.DataFrame({"hour": clock % 24, "wind": rng.uniform(0, 9, hours).round(2)})
        frame.insert(0, "city", city)
        frame["when"] = pd.Timestamp("2020-03-01") + pd.to_timedelta(clock, unit="h")
        frame["heat"] = (level + clock / 24 + rng.normal(0, 0.1, hours)).round(3)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the ingestion of one table and returns the catalog."""

    def run(frame: pd.DataFrame, draws: dict[str, Any] | None = None, **o: Any) -> DataCatalog:
        frame.to_csv(tmp_path / "mine.csv", index=False)

        def entry(kind: str, path: str) -> dict[str, Any]:
            return {"type": f"headstart.datasets.{kind}Dataset", "filepath": str(tmp_path / path)}

        columns = {"task_column": "city", "target_column": "heat", **o}
        catalog = DataCatalog.from_config(
            {
                "mine.target": {**entry("TaskTable", "mine.csv"), **columns},
                "ingestion.{target}.{table}": entry("Parquet", "{table}.parquet"),
                **{
                    f"ingestion.{{target}}.{name}": entry("JSON", f"{name}.json")
                    for name in ("counts", "summary", "columns")
                },
                "quarantine": entry("Parquet", "quarantine.parquet"),
            }
        )
        catalog["params:ingestion"] = IngestionParameters(**SETTINGS)
        catalog["params:table_ingestion"] = TableIngestionParameters(**TABLES)
        shots = {"shots": [3, "all"], "seeds": 2, "validation_share": 0.2}
        catalog["params:draws"] = DrawParameters(**{**shots, **(draws or {})})
        pipeline = create_table_pipeline("mine") + create_quarantine_pipeline(["mine"])
        SequentialRunner().run(pipeline, catalog)
        return catalog

    return run


def test_a_table_in_time_becomes_features_splits_and_draws(run: Run) -> None:
    frame = weather(160)
    frame.loc[5, "wind"] = 900
    frame.loc[7, "heat"] = None  # neither a target, a day before, nor a row to look ahead from
    catalog = run(
        frame,
        **{"time_column": "when", "ahead": "24h", "difference": True, **PLACE},
        **{"cycles": {"hour": 24}, "limits": {"wind": [0, 100]}},
    )
    table = catalog["ingestion.mine.table"].load()
    assert list(table) == ["row", "task", "target", "time", "hour_sin", "hour_cos", "wind", "heat"]
    assert table["row"].tolist() == list(range(len(table)))
    oslo = frame["heat"].to_numpy()[:160]
    expected = np.delete(oslo[24:] - oslo[:-24], 7)
    assert np.allclose(table.loc[table["task"] == "oslo", "target"], expected)
    columns = catalog["ingestion.mine.columns"].load()
    assert columns["features"] == ["hour_sin", "hour_cos", "wind", "heat"]
    assert columns["made_from"]["hour_cos"] == "hour"
    assert columns["positions"] == {"oslo": [59.9, 10.8], "rome": [41.9, 12.5]}
    assert columns["missing"] == {"hour": 0, "wind": 1, "heat": 0}
    assert columns["outside_limits"] == {"wind": 1}
    assert (columns["kind"], columns["classes"], columns["target_column"]) == (
        *("regression", None, "heat"),
    )
    aside = catalog["quarantine"].load()
    assert aside["reason"].unique().tolist() == ["no target 24 h later, or none now"]
    assert len(aside) == 2 * 24 + 1
    assert aside["path"].iloc[0] == "mine.csv#7"
    summary = catalog["ingestion.mine.summary"].load()
    assert summary["read"]["target"] == 320
    assert summary["set_aside"]["target"] == 49
    assert summary["splits"] == {"development": 155, "gap": 48, "test": 68}
    assert summary["tasks"]["oslo"] == {"development": 77, "gap": 24, "test": 34}
    splits = catalog["ingestion.mine.splits"].load()
    assert list(splits) == [
        *("target", "row", "path", "task", "task_index", "class", "time", "split"),
    ]
    original = frame.assign(path=[f"mine.csv#{i}" for i in range(320)]).set_index("path")["wind"]
    wind = original[splits["path"]].to_numpy()
    assert np.array_equal(table["wind"].fillna(900), wind)


def test_no_target_that_is_learned_from_lies_in_the_test_period(run: Run) -> None:
    catalog = run(weather(200), time_column="when", ahead="24h")
    splits = catalog["ingestion.mine.splits"].load().set_index("row")
    day = pd.Timedelta("24h")
    test = splits.loc[splits["split"] == "test", "time"].min()
    for draw in draws_of(catalog["ingestion.mine.draws"].load()):
        assert splits.loc[draw.train, "time"].max() + day < (
            splits.loc[draw.validation, "time"].min()
        )
        assert splits.loc[draw.validation, "time"].max() + day < test
    drawn = catalog["ingestion.mine.drawn_rows"].load()
    assert list(drawn) == ["shots", "task", "train", "validation"]
    assert drawn.iloc[0].tolist() == [3, "oslo", 3, 3]


def clinics() -> pd.DataFrame:
    """Three clinics, of which one is too small; a patient stands in the table twice."""
    rng = np.random.default_rng(0)
    sizes = {"large": 60, "small": 20, "tiny": 4}
    frame = pd.DataFrame({"city": np.repeat(list(sizes), list(sizes.values()))})
    frame["age"] = rng.uniform(20, 80, len(frame)).round(2)
    frame["sex"] = rng.choice(["f", "m"], len(frame))
    frame["heat"] = rng.choice(["ill", "well"], len(frame))
    return pd.concat([frame, frame.iloc[:1]], ignore_index=True)


def test_a_table_of_classes_is_split_within_tasks(run: Run) -> None:
    catalog = run(clinics())
    columns = catalog["ingestion.mine.columns"].load()
    assert (columns["kind"], columns["classes"]) == ("classification", ["ill", "well"])
    assert columns["features"] == ["age", "sex=m"]
    table, splits = (catalog[f"ingestion.mine.{name}"].load() for name in ("table", "splits"))
    assert (table["target"] == splits["class"]).all()
    summary = catalog["ingestion.mine.summary"].load()
    assert summary["tasks_set_aside"] == {"tiny": "task has too few rows (4, needs 12)"}
    assert summary["duplicates_removed"] == {"within_target": 1}
    assert summary["tasks"] == {
        "large": {"development": 45, "test": 15},
        "small": {"development": 15, "test": 5},
    }
    assert sum(summary["classes"].values()) == 80
    assert len(catalog["quarantine"].load()) == 4


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"city": "oslo"}, {}, "mine: one task alone, 'oslo', can be used"),
        ({"heat": 3.5}, {"kind": "regression"}, "no task can be used.*target is constant in the t"),
        ({"heat": None}, {"kind": "classification"}, "mine: no task can be used"),
        ({}, {"positions": {"oslo": [0, 0]}}, "mine: the task 'rome' has no position"),
        ({}, {"positions": {"paris": [0, 0]}}, "the task 'paris', which the table does not have"),
    ],
)
def test_tables_that_will_not_do(
    run: Run, change: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(HeadstartError, match=words):
        run(weather().assign(**change), **options)


def test_too_much_that_is_bad_stops_the_run(run: Run, tmp_path: Path) -> None:
    frame = weather()
    frame.loc[frame.index % 5 < 3, "heat"] = None
    with pytest.raises(HeadstartError, match=r"mine: 96 of 160 target examples \(60%\)"):
        run(frame)
    assert len(pd.read_parquet(tmp_path / "quarantine.parquet")) == 96


def test_more_shots_than_any_task_has(run: Run) -> None:
    with pytest.raises(HeadstartError, match="mine: 500 shots are asked for, but no task has more"):
        run(weather(), draws={"shots": [500]})


def test_the_same_table_makes_the_same_bytes(run: Run, tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    run(weather(), time_column="when", ahead="6h")
    first = content()
    assert len(first) == 10
    run(weather(), time_column="when", ahead="6h")
    assert content() == first


def test_a_target_is_a_table_by_the_type_of_its_entry() -> None:
    from headstart.experiment import base_configuration

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    parameters = {**parameters, "targets": ["weather", "faces", "newsgroups"]}
    experiment = read_experiment(parameters, catalog)
    assert experiment.table_targets == ["weather"]  # in a package
    assert experiment.image_targets == ["faces"]
    assert experiment.text_targets == ["newsgroups"]
