"""The probing stage, run by Kedro."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError

from headstart.learning.encoders import Features
from headstart.learning.fits import IDENTITY, RESULT_COLUMNS
from headstart.learning.splits import draw
from headstart.pipelines.probing import create_pipeline
from headstart.pipelines.probing.parameters import ProbingParameters

CONF = Path(__file__).parents[2] / "conf" / "base" / "parameters_probing.yml"
METHODS = ["linear_probe", "nearest_neighbors"]


def parameters(**changes: object) -> ProbingParameters:
    block = yaml.safe_load(CONF.read_text(encoding="utf-8"))["probing"]
    return ProbingParameters.model_validate({**block, **changes})


def splits() -> pd.DataFrame:
    """60 usable rows of 70; the other ten were set aside."""
    rows = np.delete(np.arange(70), np.arange(0, 70, 7))
    classes = np.arange(60) % 3
    return pd.DataFrame(
        {
            "target": "parts",
            "row": rows,
            "path": "",
            "label": np.array(["bent", "good", "torn"])[classes],
            "class": classes,
            "split": np.where(np.arange(60) < 45, "development", "test"),
        }
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    table = splits()
    rng = np.random.default_rng(0)
    values = rng.normal(size=(70, 12)).astype(np.float32)
    values[table["row"]] += rng.normal(size=(3, 12))[table["class"]] * 2
    catalog = DataCatalog(
        {
            "representation.parts.random.features": MemoryDataset(Features("random", values, 99)),
            "ingestion.parts.splits": MemoryDataset(table),
            "ingestion.parts.draws": MemoryDataset(draw(table, [1, 5, None], 2, 0.2)),
            "params:probing": MemoryDataset(parameters()),
        }
    )
    outputs = SequentialRunner().run(create_pipeline("images", "parts", "random", METHODS), catalog)
    return {name: dataset.load() for name, dataset in outputs.items()}


def test_each_method_writes_scores_and_predictions(tables):
    assert set(tables) == {
        f"probing.parts.random.{method}_{kind}"
        for method in METHODS
        for kind in ("scores", "predictions")
    }
    one = create_pipeline("images", "parts", "random", ["nearest_neighbors"])
    assert [node.name for node in one.nodes] == ["probing.parts.random.nearest_neighbors"]


@pytest.mark.parametrize("method", METHODS)
def test_the_tables_hold_every_draw(tables, method):
    scores = tables[f"probing.parts.random.{method}_scores"]
    assert {*RESULT_COLUMNS, "split", "chosen"} == set(scores.columns)
    assert (scores["method"] == method).all()
    assert (scores["representation"] == "random").all()
    assert len(scores) == 3 * 2 * 2 * scores["metric"].nunique()  # shots, seeds, splits
    test = scores[(scores["split"] == "test") & (scores["metric"] == "accuracy")]
    assert test["shots"].isna().sum() == 2
    assert (test["n_test"] == 15).all()
    assert test.loc[test["shots"] == 5, "n_train"].tolist() == [15, 15]

    predictions = tables[f"probing.parts.random.{method}_predictions"]
    assert set(predictions["row"]) == set(splits().loc[splits()["split"] == "test", "row"])
    right = predictions["label"] == predictions["predicted"]
    key = predictions["shots"].fillna(-1)
    for (shots, seed), part in right.groupby([key, predictions["seed"]]):
        chosen = test[(test["shots"].fillna(-1) == shots) & (test["seed"] == seed)]
        assert part.mean() == pytest.approx(chosen["value"].item())
    known = splits().set_index("row")["class"]
    assert (predictions["label"] == predictions["row"].map(known)).all()
    assert not predictions.duplicated([*IDENTITY, "row"]).any()
    assert test.loc[test["shots"].isna(), "value"].min() > 0.8  # the classes are far apart


def test_misspelled_and_senseless_parameters_are_refused_by_name():
    with pytest.raises(ValidationError, match=r"(?s)linear_probe\.strength\b.*Extra inputs"):
        parameters(linear_probe={"strengths": [1.0], "strength": 1.0})
    with pytest.raises(ValidationError, match=r"linear_probe\.strengths\.1"):
        parameters(linear_probe={"strengths": [1.0, 0.0]})
    with pytest.raises(ValidationError, match=r"nearest_neighbors\.neighbors"):
        parameters(nearest_neighbors={"neighbors": [], "temperature": 1, "smoothing": 1})
