"""A model of several tasks that was handed over: the same numbers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from headstart.datasets import FittedTasksDataset
from headstart.errors import HeadstartError
from headstart.learning.multi_task.fitted_tasks import FittedTasks, predict_rows
from headstart.learning.multi_task.scores import task_predictions
from headstart.learning.multi_task.tasks import TaskData
from headstart.learning.table_features import ColumnCoding

SAID = "The table new.csv"
Made = tuple[FittedTasks, pd.DataFrame, pd.DataFrame]  # model, its test rows, what its fit said


@pytest.fixture
def hand_over(
    make_data: Callable[..., TaskData],
    make_parameters: Callable[..., Any],
    fit: Callable[..., Any],
    split: Callable[..., Any],
) -> Callable[..., Made]:
    """A fit, the model as it is handed over, and the test rows as a user's table has them."""

    def make(method: str, classes: int = 0) -> Made:
        def targets(x: np.ndarray, task: np.ndarray) -> np.ndarray:
            said = x[:, 0] + 0.3 * task
            return (said > 0).astype(np.int64) if classes else 100 + 5 * said

        data = make_data(targets, (60, 60, 60), classes=classes)
        data.features[::7, 1] = np.nan
        rows = split(data, 20, 10)
        made, model = fit(method, data, rows, make_parameters(training={"steps": 10}))
        config = {
            **{"track": "tables", "target": "toy", "task_column": "well"},
            "missing_values": [-999],
        }
        codings = [ColumnCoding(name, (name,)) for name in data.feature_names]
        new = pd.DataFrame(data.features[rows[2]], columns=list(data.feature_names))
        new.insert(0, "well", [data.task_names[t] for t in data.task[rows[2]]])
        return FittedTasks(config, codings, model), new, task_predictions(made, data, rows[2])

    return make


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("method", ["separate", "pooled", "pooled_with_task", "regularized"])
def test_what_is_loaded_says_what_the_fit_said(
    hand_over: Callable[..., Made], tmp_path: Path, method: str, classes: int
) -> None:
    fitted, new, expected = hand_over(method, classes)
    dataset = FittedTasksDataset(filepath=str(tmp_path / "model"))
    dataset.save(fitted)
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        *("config.json", "model.safetensors"),
    }
    loaded = dataset.load()
    assert loaded.config == fitted.config
    # Another order of rows and columns, missing values as the user writes them.
    shuffled = new.sample(frac=1, random_state=0)
    table = shuffled[list(new)[::-1]].fillna({"x1": -999}).assign(remark="none")
    found = predict_rows(loaded, table, SAID)
    assert found.table["task"].tolist() == shuffled["well"].tolist()
    assert not found.unread
    assert not found.new_tasks
    expected = expected.iloc[shuffled.index]
    if classes:
        numbers = expected["predicted"].astype(int)
        assert found.table["label"].tolist() == [f"c{k}" for k in numbers]
        assert np.allclose(found.table["probability"], expected["confidence"], atol=1e-6)
        own = found.table[["probability_c0", "probability_c1"]]
        assert np.allclose(own.sum(axis=1), 1)
        assert np.allclose(own.max(axis=1), expected["confidence"], atol=1e-6)
    else:
        assert np.allclose(found.table["predicted"], expected["predicted"], atol=1e-6, rtol=0)


def test_a_new_task_is_refused_where_each_has_its_network_and_else_predicted_for(
    hand_over: Callable[..., Made],
) -> None:
    fitted, new, _ = hand_over("layer_sharing")
    table = new.copy()
    table.loc[[3, 5], "well"] = ["east", None]
    with pytest.raises(HeadstartError) as refused:
        predict_rows(fitted, table, SAID)
    words = str(refused.value)
    assert "new.csv has 2 rows (the first is number 3) of the tasks '(no name)', 'east'" in words
    assert "it knows t0, t1, t2" in words
    assert "targets=toy,tables.methods=pooled" in words

    pooled, _, _ = hand_over("pooled")
    found = predict_rows(pooled, table, SAID)
    assert found.new_tasks == ["(no name)", "east"]
    assert found.table["predicted"].equals(predict_rows(pooled, new, SAID).table["predicted"])


def test_columns_and_values_that_are_not_there_are_named(hand_over: Callable[..., Made]) -> None:
    fitted, new, _ = hand_over("pooled")
    with pytest.raises(HeadstartError, match=r"lacks the columns 'well', 'x2'.* has x0, x1"):
        predict_rows(fitted, new.drop(columns=["well", "x2"]), SAID)
    with pytest.raises(HeadstartError, match=r"The table .* has no row to predict"):
        predict_rows(fitted, new.iloc[:0], SAID)
    table = new.astype({"x0": "object"})
    table.loc[2, "x0"] = "a lot"
    found = predict_rows(fitted, table, SAID)
    assert found.unread == {"x0": ["a lot"]}
    missing = new.copy()
    missing.loc[2, "x0"] = np.nan
    assert found.table.equals(predict_rows(fitted, missing, SAID).table)


def test_a_model_that_is_none_of_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no fitted model"):
        FittedTasksDataset(filepath=str(tmp_path / "none")).load()
    (tmp_path / "config.json").write_text('{"track": "images"}')
    with pytest.raises(DatasetError, match="not for tables of several tasks"):
        FittedTasksDataset(filepath=str(tmp_path)).load()
