"""Encoders, features, fitted models, weights and checkpoints: whole, unchanged, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kedro.io import AbstractDataset, DatasetError
from safetensors.torch import save_file

from headstart.datasets import (
    CheckpointsDataset,
    EncoderDataset,
    FeaturesDataset,
    FittedModelDataset,
    TorchWeightsDataset,
)
from headstart.learning.encoders import Encoder, Features
from headstart.learning.fitted_model import FittedModel

ENCODER = Encoder(
    config={"name": "pca", "kind": "pca", "image_size": None, "mean": [0.1, 1 / 3], "ä": {"b": 1}},
    tensors={
        "weight": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32).T,
        "count": np.array(7),
        "empty": np.zeros((0, 2), dtype=np.uint8),
    },
)
FEATURES = Features("pca", np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), 12)
MODEL = FittedModel(
    config={"target": "parts", "classes": ["ok", "nök"], "chosen": {"strength": 1e-3}},
    encoder=ENCODER,
    head={"weight": np.eye(2, 4), "bias": np.zeros(2)},
)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and np.array_equal(one[k], other[k]) for k in one
    )


def test_an_encoder_comes_back(tmp_path: Path) -> None:
    dataset = EncoderDataset(filepath=str(tmp_path / "deep" / "encoder.safetensors"))
    assert not dataset.exists()
    dataset.save(ENCODER)
    loaded = dataset.load()
    assert loaded.config == ENCODER.config
    assert same(loaded.tensors, ENCODER.tensors)


def test_features_come_back(tmp_path: Path) -> None:
    dataset = FeaturesDataset(filepath=str(tmp_path / "f.safetensors"))
    dataset.save(FEATURES)
    loaded = dataset.load()
    assert (loaded.name, loaded.encoder_parameters) == ("pca", 12)
    assert same({"v": loaded.values}, {"v": FEATURES.values})


def test_a_fitted_model_comes_back(tmp_path: Path) -> None:
    dataset = FittedModelDataset(filepath=str(tmp_path / "model"))
    dataset.save(MODEL)
    dataset.save(MODEL)
    loaded = dataset.load()
    assert loaded.config == MODEL.config
    assert loaded.encoder.config == ENCODER.config
    assert same(loaded.encoder.tensors, ENCODER.tensors)
    assert same(loaded.head, MODEL.head)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("kind", "data"), [(EncoderDataset, ENCODER), (FeaturesDataset, FEATURES)])
def test_equal_content_makes_equal_bytes(tmp_path: Path, kind: Any, data: object) -> None:
    for name in ("one", "two"):
        kind(filepath=str(tmp_path / name)).save(data)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "shorter", "rubbish", "foreign"])
@pytest.mark.parametrize(
    ("kind", "data", "file"),
    [
        (EncoderDataset, ENCODER, ""),
        (FeaturesDataset, FEATURES, ""),
        (FittedModelDataset, MODEL, "config.json"),
        (FittedModelDataset, MODEL, "model.safetensors"),
    ],
)
def test_damage_is_refused(tmp_path: Path, kind: Any, data: object, file: str, damage: str) -> None:
    dataset: AbstractDataset[Any, Any] = kind(filepath=str(tmp_path / "it"))
    dataset.save(data)
    path = tmp_path / "it" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "foreign":
        save_file({"x": torch.ones(2)}, path)
    else:
        path.write_bytes({"empty": b"", "shorter": content[:-3], "rubbish": b"{" * 99}[damage])
    with pytest.raises(DatasetError) as error:
        dataset.load()
    message = str(error.value)
    assert "Failed while loading" not in message
    assert str(tmp_path / "it") in message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights(tmp_path: Path, suffix: str) -> None:
    weights = {"a": torch.arange(3.0), "b": torch.ones(2, dtype=torch.int64)}
    path = tmp_path / f"weights{suffix}"
    torch.save(weights, path) if suffix == ".pth" else save_file(weights, path)
    loaded = TorchWeightsDataset(filepath=str(path)).load()
    assert sorted(loaded) == ["a", "b"]
    assert all(torch.equal(loaded[k], weights[k]) for k in weights)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickling ran code",))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_will_not_do(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    dataset = TorchWeightsDataset(filepath=str(path))
    with pytest.raises(DatasetError, match="does not exist"):
        dataset.load()
    contents = [b"", b"text", bytes(range(256)), b"\x80\x02."]
    if suffix == ".pth":
        torch.save({"a": torch.ones(99)}, path)
        whole = path.read_bytes()
        torch.save({"a": Malicious()}, path)
        contents += [path.read_bytes(), whole[: len(whole) // 2], whole[:-1]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DatasetError) as error:
            dataset.load()
        assert str(error.value).startswith(f"The weights file {path} cannot be read")
    if suffix == ".pth":
        torch.save(torch.ones(2), path)
        with pytest.raises(DatasetError, match="holds a Tensor, not a state dict"):
            dataset.load()


def test_checkpoints_are_a_place(tmp_path: Path) -> None:
    dataset = CheckpointsDataset(filepath=str(tmp_path / "checkpoints"))
    first = dataset.fingerprint()
    folder = dataset.load()
    assert folder.path == tmp_path / "checkpoints"
    folder.path.mkdir()
    (folder.path / "x").write_text("x")
    assert dataset.fingerprint() == first  # how far a training came changes no result
    with pytest.raises(DatasetError):
        dataset.save(1)
