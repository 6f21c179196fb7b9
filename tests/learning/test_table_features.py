"""Columns become features: cycles, categories, what is missing, and what is left out and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError
from headstart.learning.table_features import Features, coding_of, make_features
from headstart.learning.task_table import TaskTable


def features(inputs: dict[str, list[Any]], rows: list[int] | None = None, **o: Any) -> Features:
    frame = pd.DataFrame(inputs)
    frame = frame.astype({c: "float64" for c in frame if frame[c].dtype.kind in "if"})
    table = TaskTable(pd.DataFrame(index=frame.index), frame, "y", "regression", **o)
    return make_features(
        table,
        frame.index if rows is None else pd.Index(rows),
        missing_share=0.3,
        most_categories=3,
        reserved=frozenset({"target"}),
    )


def test_numbers_and_categories() -> None:
    found = features({"x": [1, 2.5, 3], "two": ["b", "a", "a"], "three": ["u", "w", "v"]})
    assert list(found.table) == ["x", "two=b", "three=u", "three=v", "three=w"]
    assert found.table.to_numpy().tolist() == [
        [1, 1, 1, 0, 0],
        [2.5, 0, 0, 0, 1],
        [3, 0, 0, 1, 0],
    ]
    assert found.made_from["three=w"] == "three"


def test_what_goes_round_comes_back_to_its_beginning() -> None:
    found = features({"hour": [0, 6, 12, 24, 18]}, cycles={"hour": 24.0})
    assert np.allclose(found.table["hour_sin"], [0, 1, 0, 0, -1])
    assert np.allclose(found.table["hour_cos"], [1, 0, -1, 1, 0])


def test_missing_values_stay_missing_and_are_counted() -> None:
    found = features({"x": [1, None, None, 4], "y": [1, None, 3, 4], "z": ["a", None, "b", "c"]})
    assert found.missing == {"x": 2, "y": 1, "z": 1}
    assert found.table["x"].isna().tolist() == [False, True, True, False]
    # Half of x is missing, which is a feature; a quarter of the others is not.
    assert found.table["x_missing"].tolist() == [0, 1, 1, 0]
    assert not {"y_missing", "z_missing"} & set(found.table)
    assert found.table[["z=a", "z=b", "z=c"]].iloc[1].isna().all()


def test_what_lies_outside_of_its_limits_is_missing() -> None:
    found = features({"x": [0, 5, 1000, None, 2, 3, 7]}, limits={"x": (0, 7)})
    assert found.outside == {"x": 1}
    assert found.missing == {"x": 2}
    assert found.table["x"].isna().tolist() == [False, False, True, True, False, False, False]


def test_columns_that_say_nothing_are_left_out_with_the_reason() -> None:
    inputs = {"x": [1, 2, 3, 4], "same": [7, 7, 7, 7], "none": [None] * 4, "ids": list("abcd")}
    found = features(inputs, left_out={"city": "the task"})
    assert list(found.table) == ["x"]
    assert found.left_out == {
        "city": "the task",
        "same": "has one value only",
        "none": "is empty",
        "ids": "has 4 different values that are not numbers",
    }
    with pytest.raises(HeadstartError, match="column 'ids', named among the features, has 4 diff"):
        features(inputs, chosen=True)
    with pytest.raises(HeadstartError, match=r"No column .* 'same' has one value only"):
        features({"same": [7, 7]})


def test_only_the_rows_that_are_used_count() -> None:
    found = features({"x": [1, 2, None], "z": ["a", "b", "c"]}, rows=[0, 1])
    assert list(found.table) == ["x", "z=b"]
    assert found.missing == {"x": 0, "z": 0}


def test_no_name_is_given_twice() -> None:
    found = features({"target": [1, 2], "z=b": [3, 4], "z": ["a", "b"]})
    assert list(found.table) == ["target_", "z=b", "z=b_"]
    assert found.made_from == {"target_": "target", "z=b": "z=b", "z=b_": "z"}


def test_new_rows_are_coded_as_those_that_the_coding_was_found_on() -> None:
    inputs = {
        **{"x": [1, None, 30, 4], "hour": [0, 6, 12, 18], "two": ["b", "a", None, "a"]},
        "three": ["u", "v", "w", "u"],
    }
    found = features(inputs, limits={"x": (0, 10)}, cycles={"hour": 24.0})
    codings = [coding_of(json.loads(json.dumps(asdict(one)))) for one in found.codings]
    for one in codings:
        again = one.apply(one.read(pd.Series(inputs[one.column]))[0])
        assert again.equals(found.table[list(one.features)]), one.column
    by_column = {one.column: one for one in codings}
    # Alone a row has neither the other categories nor missing values beside it.
    values, wrong = by_column["three"].read(pd.Series(["w", "z", None]))
    assert wrong.tolist() == ["z"]
    made = by_column["three"].apply(values)
    assert made.iloc[0].tolist() == [0, 0, 1]
    assert made.iloc[1:].isna().all(axis=None)
    values, wrong = by_column["x"].read(pd.Series(["2.5", "much", "11"]))
    assert wrong.tolist() == ["much"]
    made = by_column["x"].apply(values)
    assert made["x"].tolist()[0] == 2.5
    assert made["x"].isna().tolist() == made["x_missing"].astype(bool).tolist() == [0, 1, 1]
