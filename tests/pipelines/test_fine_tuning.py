from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kedro.pipeline import Pipeline
from pydantic import ValidationError
from torch import nn

from headstart.learning import encoders, fine_tune, networks
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.fits import RESULT_COLUMNS
from headstart.pipelines.checking import NAMESPACE, PLANS, plan_table
from headstart.pipelines.fine_tuning import create_baseline_pipeline, create_pipeline
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters

CONF = Path(__file__).parent.parent.parent / "conf" / "base"
COMPUTE = ComputeParameters(device="cpu", parallel_fits=1, progress=False)


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(networks.NETWORKS, "small", small_network)
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def configured() -> dict[str, Any]:
    return yaml.safe_load((CONF / "parameters_fine_tuning.yml").read_text())["fine_tuning"]


def parameters() -> FineTuningParameters:
    values = configured()
    values |= {"seeds": 2, "seeds_all": 2, "seeds_of": {}}
    for block in ("fine_tune", "from_scratch"):
        values[block]["training"] |= {"steps": 4, "batch_size": 4, "evaluations": 2}
    return FineTuningParameters.model_validate(values)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n = 24
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8))
    splits = pd.DataFrame(
        {
            "target": "noise",
            "row": np.arange(n),
            "class": np.arange(n) % 3,
            "split": ["test"] * 6 + ["development"] * (n - 6),
        }
    )
    draws = [
        (shots, seed, role, row)
        for seed in range(3)
        for shots, train, validation in ((1, 3, 3), (None, 12, 6))
        for role, rows in (
            ("train", range(6, 6 + train)),
            ("validation", range(18, 18 + validation)),
        )
        for row in rows
    ]
    table = pd.DataFrame(draws, columns=["shots", "seed", "role", "row"])
    return {
        "store": SimpleNamespace(
            images=np.load(tmp_path / "images.npy", mmap_mode="r"),
            index=pd.DataFrame({"digest": [f"{i:x}" for i in range(n)]}),
        ),
        "splits": splits,
        "draws": table.astype({"shots": "Int64"}),
        "encoder": encoders.random_network("small", 8, seed=0),
        "checkpoints": CheckpointFolder(tmp_path / "checkpoints"),
        "parameters": parameters(),
        "compute": COMPUTE,
        "plan": plan_table([]),
    }


def function(pipeline: Pipeline) -> Any:
    """Of the node that fits, behind the one that checks."""
    (node,) = (node for node in pipeline.nodes if node.namespace != NAMESPACE)
    return node.func


@pytest.mark.parametrize(
    ("pipeline", "method"),
    [
        (create_pipeline("noise", "imagenet", "encoder"), "fine_tune"),
        (create_baseline_pipeline("noise", "random", "encoder"), "from_scratch"),
    ],
)
def test_every_number_of_shots_and_seed_is_fitted(
    inputs: dict[str, Any], pipeline: Pipeline, method: str
) -> None:
    scores, predictions, history = function(pipeline)(**inputs)
    assert set(scores.columns) >= {*RESULT_COLUMNS, "split"}
    fits = scores[["shots", "seed"]].drop_duplicates()
    expected = {(1, 0), (1, 1), (None, 0), (None, 1)}
    found = {(None if pd.isna(k) else int(k), int(seed)) for k, seed in fits.to_numpy()}
    assert found == expected
    assert set(scores["method"]) == {method}
    assert set(scores["target"]) == {"noise"}
    assert set(scores["representation"]) == {"random"}
    assert set(scores.loc[scores["shots"].isna(), "n_train"]) == {12}
    assert set(scores.loc[scores["split"] == "test", "n_test"]) == {6}
    assert len(predictions) == 4 * 6
    assert predictions["row"].tolist()[:6] == list(range(6))
    assert {"train_loss", "validation_loss"} <= set(history["name"])
    assert history.groupby(["shots", "seed"], dropna=False)["step"].max().tolist() == [4] * 4


def test_a_run_that_was_killed_does_not_do_finished_fits_again(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = function(create_pipeline("noise", "imagenet", "encoder"))
    real, done = fine_tune.fit_network, []

    def killed_at_the_third(*arguments: Any, **named: Any) -> Any:
        done.append(named["identity"])
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(fine_tune, "fit_network", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(**inputs)
    resumed = run(**inputs)
    assert len(done) == 3 + 2
    monkeypatch.setattr(fine_tune, "fit_network", real)
    whole = run(**{**inputs, "checkpoints": None})
    cost = ["train_seconds", "peak_memory_bytes"]
    for a, b in zip(resumed, whole, strict=True):
        drop = [c for c in cost if c in a.columns]
        pd.testing.assert_frame_equal(a.drop(columns=drop), b.drop(columns=drop), check_exact=True)


def test_workers_give_the_same_tables(inputs: dict[str, Any]) -> None:
    inputs["encoder"] = encoders.random_network("efficientnet_lite0", 32, seed=0)
    inputs["draws"] = inputs["draws"][inputs["draws"]["shots"] == 1]
    run = function(create_pipeline("noise", "imagenet", "encoder"))
    two = COMPUTE.model_copy(update={"parallel_fits": 2})
    one_by_one = run(**{**inputs, "checkpoints": None})
    side_by_side = run(**{**inputs, "compute": two})
    for a, b in zip(one_by_one[1:], side_by_side[1:], strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_the_pipelines_read_and_write_their_own_namespace() -> None:
    tuned = create_pipeline("cells", "imagenet", "representation.cells.imagenet.encoder")
    (fit,) = (node for node in tuned.nodes if node.namespace != NAMESPACE)
    assert fit.name == "fine_tuning.cells.imagenet.fine_tune"
    (plan,) = (name for name in fit.inputs if name.startswith(PLANS))
    assert plan in tuned.all_outputs()
    assert set(fit.inputs) - {plan} == {
        "ingestion.cells.target_images",
        "ingestion.cells.splits",
        "ingestion.cells.draws",
        "representation.cells.imagenet.encoder",
        "fine_tuning.cells.imagenet.checkpoints",
        "params:fine_tuning",
        "params:compute",
    }
    assert set(fit.outputs) == {
        f"fine_tuning.cells.imagenet.{table}" for table in ("scores", "predictions", "history")
    }
    baseline = create_baseline_pipeline("cells", "random", "representation.cells.random.encoder")
    (scratch,) = (node for node in baseline.nodes if node.namespace != NAMESPACE)
    assert scratch.name == "fine_tuning.cells.random.from_scratch"
    assert "representation.cells.random.encoder" in scratch.inputs
    assert set(fit.outputs).isdisjoint(scratch.outputs)


def test_the_default_parameters_are_valid_and_misspelt_ones_refused() -> None:
    chosen = FineTuningParameters.model_validate(configured())
    assert chosen.fine_tune.batch_norm == "frozen"
    assert chosen.from_scratch.batch_norm == "train"
    ComputeParameters.model_validate(
        yaml.safe_load((CONF / "parameters_compute.yml").read_text())["compute"]
    )
    misspelt = configured()
    misspelt["fine_tune"]["training"]["learning_rat"] = 0.1
    with pytest.raises(ValidationError, match="learning_rat"):
        FineTuningParameters.model_validate(misspelt)


def test_an_encoder_that_was_left_out_gives_no_row(inputs: dict[str, Any]) -> None:
    config = {"name": "colorization", "kind": "left_out", "left_out": "gray"}
    inputs["encoder"] = encoders.Encoder(config, {})
    tables = function(create_pipeline("noise", "colorization", "encoder"))(**inputs)
    assert [len(table) for table in tables] == [0, 0, 0]
    assert "chosen" in tables[0].columns


def test_single_encoders_may_have_more_seeds(inputs: dict[str, Any]) -> None:
    inputs["parameters"] = parameters().model_copy(
        update={"seeds": 1, "seeds_all": 1, "seeds_of": {"random": 3}}
    )
    scores, _, _ = function(create_pipeline("noise", "random", "encoder"))(**inputs)
    few, all_labels = (scores[scores["shots"].isna() == wanted] for wanted in (False, True))
    assert few["seed"].nunique() == 3
    assert all_labels["seed"].nunique() == 1
