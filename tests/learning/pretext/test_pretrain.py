"""Pretraining whole, on a small source: every task, what it leaves, resumes and does not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import AdaptationParameters, ComputeParameters
from headstart.learning.encoders import extract, random_network
from headstart.learning.fine_tune import fit_network
from headstart.learning.networks import NETWORKS
from headstart.learning.pretext.contrastive import Contrastive
from headstart.learning.pretext.parameters import HeldOutParameters, PretrainingParameters
from headstart.learning.pretext.pretrain import (
    HISTORY_COLUMNS,
    SCORE_COLUMNS,
    Pretrained,
    hold_out,
    pretrain,
)
from headstart.learning.pretext.registry import TASKS
from headstart.learning.pretext.task import CannotLearnError, Source

CONF = Path(__file__).parents[3] / "conf"
COMPUTE = ComputeParameters(device="cpu", progress=False, batch_size=16)
HELD_OUT = HeldOutParameters(share=0.2, most=8, batch_size=4, examples=2, seed=0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(env: str = "base", **training: Any) -> PretrainingParameters:
    from kedro.config import OmegaConfigLoader

    from headstart.settings import CONFIG_LOADER_ARGS

    loader = OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)
    blocks = loader["parameters"]["pretraining"]
    for task in TASKS:
        blocks[task]["training"] |= training
    return PretrainingParameters.model_validate(blocks)


def source(n: int = 40, channels: int = 3, labels: bool = False) -> Source:
    rng = np.random.default_rng(0)
    coarse = rng.integers(256, size=(n, 4, 4, channels), dtype=np.uint8)
    names = np.array(["even", "odd"], dtype=object)[np.arange(n) % 2] if labels else None
    return Source(coarse.repeat(8, axis=1).repeat(8, axis=2), np.arange(n), names)


def run(
    task: str,
    seen: Source | None = None,
    checkpoint: CheckpointFolder | None = None,
    compute: ComputeParameters = COMPUTE,
    steps: int = 3,
) -> Pretrained:
    chosen = parameters(steps=steps, batch_size=8, evaluations=1)
    network = chosen.network.model_copy(update={"image_size": 32})
    own = getattr(chosen, task).model_copy(update={"image_size": 32})
    return pretrain(
        task,
        seen or source(labels=True),
        source_name="squares",
        network=network,
        parameters=own,
        held_out=HELD_OUT,
        batch_norm_rows=16,
        compute=compute,
        checkpoint=checkpoint,
    )


def same(one: Pretrained, other: Pretrained) -> bool:
    a, b = one.encoder.tensors, other.encoder.tensors
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains_the_same_network_and_says_how_well(task: str) -> None:
    result = run(task)
    initial = random_network("small_resnet", 32, seed=0)
    assert result.encoder.name == task
    shapes = {name: array.shape for name, array in result.encoder.tensors.items()}
    assert shapes == {name: array.shape for name, array in initial.tensors.items()}
    assert not np.array_equal(
        result.encoder.tensors["conv1.weight"], initial.tensors["conv1.weight"]
    )
    features = extract(result.encoder, source().images, COMPUTE)
    assert features.shape == (40, 256)
    assert result.scores.columns.tolist() == list(SCORE_COLUMNS)
    row = result.scores.iloc[0]
    assert (row["task"], row["n_train"], row["n_heldout"], row["steps"]) == (task, 32, 8, 3)
    assert row["chance"] < 1
    assert row["epochs"] == 3 / 4  # 32 images in batches of 8
    assert result.history.columns.tolist() == HISTORY_COLUMNS
    assert {"train_loss", "train_score", "heldout_loss", "heldout_score"} <= set(
        result.history["name"]
    )
    assert len(result.examples) == 2
    for example in result.examples:
        assert len(example.pictures) == len(example.captions)
        assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in example.pictures)


def test_the_same_seed_gives_the_same_encoder() -> None:
    assert same(run("contrastive"), run("contrastive"))


@pytest.mark.parametrize("task", [task for task in TASKS if task != "supervised"])
def test_no_pretext_task_sees_a_label(task: str) -> None:
    assert same(run(task, source(labels=True), steps=1), run(task, source(labels=False), steps=1))


def test_a_training_that_was_interrupted_ends_with_the_same_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("contrastive", steps=8)
    saving = COMPUTE.model_copy(update={"checkpoint_seconds": 0.0})
    folder = CheckpointFolder(tmp_path)
    honest, calls = Contrastive.loss, []

    def killed(self: Contrastive, model: Any, batch: Any) -> Any:
        calls.append(model.training)
        if len(calls) in (3, 6):
            raise KeyboardInterrupt
        return honest(self, model, batch)

    monkeypatch.setattr(Contrastive, "loss", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run("contrastive", checkpoint=folder, compute=saving, steps=8)
    again = run("contrastive", checkpoint=folder, compute=saving, steps=8)
    assert sum(calls) < 8 + 4  # it went on, and did not begin anew
    assert same(again, whole)


def test_a_gray_source_leaves_colorization_out_and_says_why() -> None:
    result = run("colorization", source(channels=1))
    assert "gray" in str(result.encoder.left_out)
    assert result.encoder.tensors == {}
    assert result.scores["left_out"].iloc[0] == result.encoder.left_out
    assert result.history.empty
    assert result.examples == []


def test_colors_that_are_all_gray_leave_it_out_too() -> None:
    gray = source(channels=1)
    result = run("colorization", Source(gray.images.repeat(3, axis=3), gray.rows))
    assert "gray" in str(result.encoder.left_out)


def test_supervised_needs_labels_of_the_source() -> None:
    assert "no labels" in str(run("supervised", source(labels=False)).encoder.left_out)
    assert run("supervised", source(labels=True)).encoder.left_out is None


def test_a_source_of_a_few_images_is_refused_in_words() -> None:
    assert "too few" in str(run("rotation", source(3)).encoder.left_out)


@given(n=st.integers(5, 300), share=st.floats(0.01, 0.6), most=st.integers(1, 50))
def test_held_out_images_are_not_learned_from(n: int, share: float, most: int) -> None:
    rows = np.arange(n) * 3
    chosen = HeldOutParameters(share=share, most=most, batch_size=4, examples=1, seed=1)
    try:
        train, test = hold_out(rows, chosen)
    except CannotLearnError:
        return
    assert sorted([*train, *test]) == rows.tolist()
    assert 1 <= len(test) <= most
    assert len(train) >= 2


def test_a_frozen_encoder_is_frozen_to_the_last_bit() -> None:
    encoder = run("rotation").encoder
    images = source().images
    before = {name: array.copy() for name, array in encoder.tensors.items()}
    fit, trained, head = fit_network(
        encoder,
        images,
        np.arange(40) % 2,
        train_rows=np.arange(24),
        validation_rows=np.arange(24, 32),
        test_rows=np.arange(32, 40),
        classes=2,
        parameters=AdaptationParameters(
            training={"steps": 6, "epochs": 9, "batch_size": 8, "learning_rate": 0.1},
            unfreeze_every=100,  # the head alone is trained
            batch_norm="frozen",
        ),
        compute=COMPUTE,
        identity={"method": "fine_tune", "target": "squares", "seed": 0},
    )
    assert fit.history is not None
    assert np.abs(head["weight"]).max() > 0.1  # it has learned at this rate
    assert any("running_mean" in name for name in before)
    for name, array in before.items():
        assert np.array_equal(trained.tensors[name], array), name
        assert np.array_equal(encoder.tensors[name], array), name


@pytest.mark.parametrize("task", [task for task in TASKS if task != "supervised"])
def test_the_gpu_environment_makes_one_step_on_a_processor(task: str) -> None:
    chosen = parameters("gpu", steps=1, batch_size=2, evaluations=1)
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(5, 224, 224, 3), dtype=np.uint8)
    result = pretrain(
        task,
        Source(images, np.arange(5)),
        source_name="noise",
        network=chosen.network,
        parameters=getattr(chosen, task),
        held_out=HELD_OUT.model_copy(update={"most": 2, "batch_size": 2, "examples": 0}),
        batch_norm_rows=2,
        compute=COMPUTE,
    )
    assert result.encoder.config["kind"] == "resnet50"
    assert np.isfinite(result.scores["loss"].iloc[0])


@pytest.mark.parametrize("architecture", ["resnet50", "vit_small"])
@pytest.mark.parametrize("task", TASKS)
def test_the_gpu_environment_is_built_on_the_meta_device(task: str, architecture: str) -> None:
    chosen = parameters("gpu")
    own = getattr(chosen, task)
    if architecture == "vit_small" and task == "jigsaw":
        own = own.model_copy(update={"image_size": 192, "gap": 0.125})  # tiles of 48: 3 patches
    config = random_network("small_resnet", own.image_size or 224, 0).config
    with torch.device("meta"):
        network = NETWORKS[architecture]()
        seen = source(labels=True)
    model = TASKS[task](own, {**config, "image_size": own.image_size or 224}, seen).build(
        network, network.num_features
    )
    assert sum(p.numel() for p in network.parameters()) > 20e6
    assert any(p is q for p in network.parameters() for q in model.parameters())


def test_every_task_has_a_block_of_parameters() -> None:
    raw = yaml.safe_load((CONF / "base" / "parameters_pretraining.yml").read_text())
    assert set(TASKS) <= set(raw["pretraining"])
