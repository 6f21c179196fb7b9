"""Meta-learners come back as they were, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kedro.io import DatasetError
from safetensors.torch import save_file

from headstart.datasets import MetaLearnerDataset
from headstart.learning.configuration import ComputeParameters
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool
from headstart.learning.meta_learning.meta_learner import MetaLearner, NetworkParameters
from headstart.learning.meta_learning.meta_training import meta_train
from headstart.learning.meta_learning.parameters import Conv4Parameters, SinusoidNetworkParameters
from headstart.learning.meta_learning.registry import (
    METHOD_PARAMETERS,
    METHODS,
    METRIC_METHODS,
    build_method,
)
from headstart.learning.meta_learning.sinusoids import Sinusoids

TRAINING = {"steps": 2, "epochs": 1, "batch_size": 2, "learning_rate": 0.01}
PARAMETERS: dict[str, dict[str, Any]] = {
    "maml": {"steps": 2, "step_size": 0.1, "learn_step_sizes": True, "test_steps": 3},
    "fomaml": {"steps": 2, "step_size": 0.1, "order": "first", "test_steps": 3},
    "anil": {"steps": 1, "step_size": 0.1, "test_steps": 3},
    "reptile": {"steps": 2, "step_size": 0.1, "examples": 3, "test_steps": 3},
    "prototypical": {},
    "joint_training": {"step_size": 0.1, "test_steps": 3},
    "pooled_pretraining": {"scale": 5.0, "step_size": 0.1, "test_steps": 3},
    "nearest_centroid": {"unit_length": False},
    "from_scratch": {"step_size": 0.1, "test_steps": 3},
}
INPUTS = {"size": 16, "channels": 2, "gray": False, "resize": "crop", "inverted": True}


def family(problem: str) -> Any:
    if problem == "regression":
        return Sinusoids(shots=4, queries=5)
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 16, 16), dtype=np.uint8)
    pool = ClassPool("letters", images, np.repeat(np.arange(5), 6))
    return ClassEpisodes(pool, np.array([0, 2, 3, 4]), ways=3, shots=1, queries=2)


def trained(name: str, problem: str) -> tuple[Any, MetaLearner]:
    """A method after two steps of meta-training, and what is handed over of it."""
    kind = METHOD_PARAMETERS[name]
    training = {"training": TRAINING} if METHODS[name].meta_trained else {}
    parameters: Any = kind.model_validate(PARAMETERS[name] | training)
    network: NetworkParameters = Conv4Parameters(filters=3)
    if problem == "regression":
        network = SinusoidNetworkParameters(hidden=(5, 6), deviation=0.5)
    tasks = family(problem)
    method = build_method(name, parameters, network, tasks, seed=1)
    if method.meta_trained:
        data = method.training_data(tasks, parameters.training, seed=0)
        meta_train(
            method,
            data,
            training=parameters.training,
            compute=ComputeParameters(device="cpu", progress=False),
            seed=0,
        )
    learner = MetaLearner.of(
        name,
        method,
        parameters=parameters,
        network=network,
        inputs=INPUTS if problem == "classification" else {},
        reading="running" if "running" in method.readings else "query",
    )
    return method, learner


@pytest.mark.parametrize(
    ("name", "problem"),
    [(name, "classification") for name in METHODS]
    + [(name, "regression") for name in METHODS if name not in METRIC_METHODS],
)
def test_a_meta_learner_comes_back(tmp_path: Path, name: str, problem: str) -> None:
    method, learner = trained(name, problem)
    dataset = MetaLearnerDataset(filepath=str(tmp_path / "deep" / "learner"))
    assert not dataset.exists()
    for _ in range(2):
        dataset.save(learner)
    assert sorted(p.name for p in (tmp_path / "deep").rglob("*")) == [
        "learner",
        "meta_learner.json",
        "weights.safetensors",
    ]
    loaded = dataset.load()
    again = loaded.build()
    assert type(again) is type(method)
    support_x, support_y, query_x, _ = family(problem).episodes(7, range(2))
    for reading in method.readings:
        outputs = [
            m.adapt(support_x, support_y, query_x, steps=3, reading=reading).outputs
            for m in (method, again)
        ]
        assert torch.equal(*outputs)
    steps = getattr(method, "steps", 0)
    ways = 0 if name in METRIC_METHODS else (3 if problem == "classification" else 1)
    assert (loaded.outputs, loaded.inner_steps) == (ways, steps)
    assert loaded.classes == (4 if name == "pooled_pretraining" else 0)
    assert (loaded.inputs, loaded.reading) == (learner.inputs, learner.reading)


def test_what_is_handed_over_does_not_change_when_training_goes_on() -> None:
    method, learner = trained("maml", "regression")
    before = {name: weight.clone() for name, weight in learner.weights.items()}
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], learner.weights[name]) for name in before)


@pytest.mark.parametrize("damage", ["missing", "empty", "shorter", "rubbish", "foreign"])
@pytest.mark.parametrize("file", ["meta_learner.json", "weights.safetensors"])
def test_damage_is_refused(tmp_path: Path, file: str, damage: str) -> None:
    dataset = MetaLearnerDataset(filepath=str(tmp_path / "it"))
    dataset.save(trained("maml", "regression")[1])
    path = tmp_path / "it" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "foreign":
        foreign = b'{"method": "maml"}'
        if file.endswith("json"):
            path.write_bytes(foreign)
        else:
            save_file({"x": torch.ones(2)}, path, metadata={"facts": "{}"})
    else:
        path.write_bytes({"empty": b"", "shorter": content[:-3], "rubbish": b"{" * 99}[damage])
    with pytest.raises(DatasetError) as error:
        dataset.load()
    assert "Failed while loading" not in str(error.value)
    assert str(tmp_path / "it") in str(error.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "mamba"},
        {"problem": "ranking"},
        {"network": {"hidden": [5, 7]}},
        {"parameters": {"steps": 2, "step_size": 0.1, "test_steps": 3, "speed": 1}},
    ],
)
def test_facts_that_do_not_fit_the_weights(tmp_path: Path, changed: dict[str, Any]) -> None:
    dataset = MetaLearnerDataset(filepath=str(tmp_path / "it"))
    dataset.save(trained("maml", "regression")[1])
    path = tmp_path / "it" / "meta_learner.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(DatasetError, match="do not fit what is said of it") as error:
        dataset.load()
    assert "\n" not in str(error.value)


def test_a_missing_meta_learner_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="kedro run --pipelines ingestion,meta_learning"):
        MetaLearnerDataset(filepath=str(tmp_path / "none")).load()
