from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from headstart.learning import encoders, fine_tune, linear_probe, networks
from headstart.learning.augmentation import augment
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import (
    AdaptationParameters,
    AugmentationParameters,
    ComputeParameters,
    TrainingParameters,
)
from headstart.learning.encoders import Encoder, Features, random_network
from headstart.learning.fine_tune import (
    Classifier,
    FitPlan,
    fit_network,
    precise_batch_norm,
    run_job,
)
from headstart.learning.fit_jobs import FitJob
from headstart.learning.layer_groups import layer_groups, parameter_groups, set_trained
from headstart.learning.training import TrainingData, train

COMPUTE = ComputeParameters(device="cpu", progress=False)
TRAIN, VALIDATION, TEST = np.arange(0, 24), np.arange(24, 32), np.arange(32, 44)


def small_network() -> nn.Module:
    """Three blocks with batch norm, (n, 3, 8, 8) -> (n, 12)."""

    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
        )

    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 6, 3, padding=1))
    network.add_module("norm", nn.BatchNorm2d(6))
    network.add_module("blocks", nn.Sequential(block(6, 8), block(8, 12)))
    network.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return network


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(networks.NETWORKS, "small", small_network)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def encoder() -> Encoder:
    """As if pretrained: running statistics that are not the initial ones."""
    encoder = random_network("small", 8, seed=1)
    rng = np.random.default_rng(0)
    tensors = {
        name: array + rng.uniform(0.1, 0.2, array.shape).astype(array.dtype)
        if "running" in name
        else array
        for name, array in encoder.tensors.items()
    }
    return Encoder(config={**encoder.config, "name": "pretrained"}, tensors=tensors)


def pictures(n: int = 44) -> tuple[np.ndarray, np.ndarray]:
    """Noise, brighter in the red channel for class 1 than for class 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 156, (n, 8, 8, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 60
    return images, labels


def parameters(**changed: Any) -> AdaptationParameters:
    training = {
        **{"steps": 30, "epochs": 50, "batch_size": 8, "learning_rate": 0.01, "evaluations": 5},
        **changed.pop("training", {}),
    }
    return AdaptationParameters(
        **{
            **{"training": TrainingParameters(**training), "batch_norm": "frozen"},
            **{"head_initialization": "zeros", **changed},
        }
    )


def identity(**changed: Any) -> dict[str, Any]:
    return {
        **{"track": "images", "target": "noise", "representation": "pretrained"},
        **{"method": "fine_tune", "shots": 12, "seed": 0, "episode": None, **changed},
    }


def fitted(encoder: Encoder, how: AdaptationParameters, **changed: Any) -> Any:
    images, labels = pictures()
    arguments: dict[str, Any] = {
        **{"train_rows": TRAIN, "validation_rows": VALIDATION, "test_rows": TEST, "classes": 2},
        **{"parameters": how, "compute": COMPUTE, "identity": identity(), **changed},
    }
    return fit_network(encoder, images, labels, **arguments)


def statistics(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: a for n, a in tensors.items() if "running" in n or "tracked" in n}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


# --- one fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_fit_learns_and_says_what_it_took(encoder: Encoder, from_scratch: bool) -> None:
    mode = "train" if from_scratch else "frozen"
    fit, trained, head = fitted(
        encoder, parameters(batch_norm=mode, training={"steps": 60}), from_scratch=from_scratch
    )
    _, labels = pictures()
    assert (fit.test.argmax(1) == labels[TEST]).mean() >= 0.9
    assert fit.test.shape == (12, 2)
    assert fit.validation.shape == (8, 2)
    np.testing.assert_allclose(fit.test.sum(axis=1), 1, atol=1e-12)
    assert fit.n_train == 24
    assert fit.total_parameters == fit.trainable_parameters == encoder.parameters + 12 * 2 + 2
    assert fit.train_seconds > 0
    assert fit.chosen["steps"] in {12, 24, 36, 48, 60}
    assert fit.history is not None
    names = {"train_loss", "train_accuracy", "learning_rate", "validation_loss"}
    assert names | {"validation_accuracy"} == set(fit.history["name"])
    assert trained.tensors.keys() == encoder.tensors.keys()
    assert head["weight"].shape == (2, 12)
    assert head["bias"].shape == (2,)


def test_encoder_and_head_together_predict_what_the_fit_says(encoder: Encoder) -> None:
    images, _ = pictures()
    fit, trained, head = fitted(encoder, parameters(batch_norm="train"))
    features = encoders.extract(trained, images[TEST], COMPUTE)
    np.testing.assert_allclose(linear_probe.predict(head, features), fit.test, atol=1e-5)


def test_the_encoder_that_is_given_stays_as_it_was(encoder: Encoder) -> None:
    before = {name: array.copy() for name, array in encoder.tensors.items()}
    fitted(encoder, parameters(batch_norm="train"))
    assert same(before, encoder.tensors)


def test_a_seed_fixes_the_fit_and_the_random_weights(encoder: Encoder) -> None:
    chosen = parameters(batch_norm="train", head_initialization="random")
    one, again, other = (
        fitted(encoder, chosen, from_scratch=True, identity=identity(seed=seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one[0].test, again[0].test)
    assert same(one[1].tensors, again[1].tensors)
    assert not same(one[1].tensors, other[1].tensors)


def test_from_scratch_uses_nothing_of_the_pretrained_weights(encoder: Encoder) -> None:
    other = Encoder(encoder.config, {n: a * 0 for n, a in encoder.tensors.items()})
    chosen = parameters(batch_norm="train")
    one, two = (fitted(e, chosen, from_scratch=True) for e in (encoder, other))
    assert np.array_equal(one[0].test, two[0].test)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
@pytest.mark.parametrize("rows", [2, 3, 9])
def test_very_small_training_sets_work(encoder: Encoder, batch_norm: str, rows: int) -> None:
    chosen = parameters(batch_norm=batch_norm, training={"steps": 5, "batch_size": 2})
    fit, _, _ = fitted(encoder, chosen, train_rows=TRAIN[:rows], validation_rows=VALIDATION[:2])
    assert np.isfinite(fit.test).all()


def test_the_size_of_the_images_can_be_changed(encoder: Encoder) -> None:
    _, trained, _ = fitted(encoder, parameters(image_size=4))
    assert trained.config["image_size"] == 4
    assert encoder.config["image_size"] == 8


def test_no_rows_to_test_give_no_predictions(encoder: Encoder) -> None:
    fit, _, _ = fitted(encoder, parameters(), test_rows=TEST[:0])
    assert fit.test.shape == (0, 2)


def test_a_refit_learns_from_all_rows_for_the_chosen_steps(encoder: Encoder) -> None:
    chosen = parameters(head_initialization="linear_probe", head_strengths=(0.1, 1.0))
    first, _, _ = fitted(encoder, chosen)
    both = np.concatenate([TRAIN, VALIDATION])
    refit, _, _ = fitted(
        *(encoder, chosen),
        train_rows=both,
        validation_rows=VALIDATION[:0],
        chosen=first.chosen,
    )
    assert refit.n_train == 32
    assert refit.chosen == first.chosen
    assert refit.history is not None
    assert refit.history["step"].max() == first.chosen["steps"]
    assert "validation_loss" not in set(refit.history["name"])


def test_a_refit_with_batch_norm_uses_statistics_of_its_rows(encoder: Encoder) -> None:
    chosen = parameters(batch_norm="train", training={"learning_rate": 1e-12})
    _, trained, _ = fitted(encoder, chosen, validation_rows=VALIDATION[:0], chosen={"steps": 2})
    assert not same(statistics(trained.tensors), statistics(encoder.tensors))
    assert int(trained.tensors["norm.num_batches_tracked"]) == 3  # 24 rows in batches of 8


# --- the classification layer ----------------------------------------------------------------


def test_lp_ft_starts_at_the_linear_probe(encoder: Encoder) -> None:
    images, labels = pictures()
    strengths = (0.01, 0.1, 1.0)
    fit, _, _ = fitted(
        encoder,
        parameters(
            head_initialization="linear_probe",
            head_strengths=strengths,
            training={"learning_rate": 1e-12, "steps": 1},
        ),
    )
    features = Features("pretrained", encoders.extract(encoder, images, COMPUTE), 0)
    probe, _ = linear_probe.fit_linear_probe(
        *(features, labels),
        **{"train": TRAIN, "validation": VALIDATION, "test": TEST, "classes": 2},
        strengths=strengths,
        identity={},
    )
    assert fit.chosen["head_strength"] == probe.chosen["strength"]
    np.testing.assert_allclose(fit.test, probe.test, atol=1e-4)


def test_a_head_of_zeros_predicts_all_classes_alike(encoder: Encoder) -> None:
    fit, _, _ = fitted(encoder, parameters(training={"learning_rate": 1e-12, "steps": 1}))
    np.testing.assert_allclose(fit.test, 0.5, atol=1e-6)


# --- batch norm ------------------------------------------------------------------------------


def test_frozen_batch_norm_stays_to_the_bit(encoder: Encoder) -> None:
    _, trained, _ = fitted(encoder, parameters(batch_norm="frozen"))
    assert same(statistics(encoder.tensors), statistics(trained.tensors))
    assert not same(encoder.tensors, trained.tensors)


def test_frozen_batch_norm_uses_its_statistics_in_training(encoder: Encoder) -> None:
    model = Classifier(encoders.to_network(encoder), 12, 2)
    groups = layer_groups(model.encoder)
    x = torch.randn(4, 3, 8, 8)
    expected = model.eval()(x)
    for mode, alike in (("frozen", True), ("train", False)):
        model.train()
        set_trained(model, groups, 0, parameters(batch_norm=mode))
        assert torch.equal(model(x), expected) == alike


def test_precise_statistics_are_means_over_batches(encoder: Encoder) -> None:
    images, _ = pictures()
    model = Classifier(encoders.to_network(encoder), 12, 2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    precise_batch_norm(
        model,
        lambda rows: encoders.preprocess(torch.from_numpy(images[rows]), encoder.config),
        TRAIN,
        most_rows=256,
        batch_size=8,
    )
    pixels = encoders.preprocess(torch.from_numpy(images[TRAIN]), encoder.config)
    with torch.no_grad():
        convolved = model.encoder.stem(pixels)
    batches = [convolved[i::3] for i in range(3)]  # 24 rows in batches of 8
    mean = torch.stack([b.mean(dim=(0, 2, 3)) for b in batches]).mean(0)
    variance = torch.stack([b.var(dim=(0, 2, 3)) for b in batches]).mean(0)
    norm = model.encoder.norm
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert not model.training
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


# --- layers: their learning rates, and when they are trained -----------------------------------


def test_layers_are_grouped_by_depth_and_none_is_lost(encoder: Encoder) -> None:
    network = encoders.to_network(encoder)
    groups = layer_groups(network)
    assert [[type(m).__name__ for m in g.modules] for g in groups] == [
        ["Conv2d", "BatchNorm2d"],
        ["Sequential"],
        ["Sequential", "AdaptiveAvgPool2d", "Flatten"],
    ]
    grouped = [id(p) for g in groups for p in g.parameters]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


def test_parameters_of_no_layer_belong_to_the_lowest_group() -> None:
    class WithPositions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Parameter(torch.zeros(3))
            self.first = nn.Linear(3, 3)
            self.second = nn.Linear(3, 3)

    network = WithPositions()
    lowest, highest = layer_groups(network)
    assert any(p is network.positions for p in lowest.parameters)
    assert len(highest.parameters) == 2


def test_the_learning_rate_decays_with_depth(encoder: Encoder) -> None:
    model = Classifier(encoders.to_network(encoder), 12, 2).eval()
    nn.init.normal_(model.head.weight)
    groups = layer_groups(model.encoder)
    chosen = parameters(learning_rate_decay=0.5, head_scale=2.0)
    scaled = parameter_groups(model.head, groups, chosen)
    assert [g.scale for g in scaled] == [0.125, 0.25, 0.5, 2.0]
    before = [[p.detach().clone() for p in g.parameters] for g in scaled]
    images, labels = pictures()
    x = encoders.preprocess(torch.from_numpy(images), encoder.config)
    y = torch.from_numpy(labels)
    train(
        *(model, fine_tune.cross_entropy, TrainingData(24, lambda i, _: (x[i], y[i]))),
        parameters=TrainingParameters(
            **{"steps": 1, "epochs": 1, "batch_size": 24, "learning_rate": 0.01},
            **{"warmup_share": 0.0, "clip_norm": None},
        ),
        compute=COMPUTE,
        seed=0,
        groups=scaled,
        on_epoch=lambda _, epoch: set_trained(model, groups, epoch, chosen),
    )
    # The first step of Adam moves each weight by its learning rate, up to the gradient's size.
    for group, old in zip(scaled, before, strict=True):
        moved = max(
            float((p - b).detach().abs().max()) for p, b in zip(group.parameters, old, strict=True)
        )
        assert moved == pytest.approx(0.01 * group.scale, rel=1e-2)


def test_gradual_unfreezing_leaves_lower_layers_to_the_bit_until_their_epoch(
    encoder: Encoder,
) -> None:
    model = Classifier(encoders.to_network(encoder), 12, 2)
    groups = layer_groups(model.encoder)
    chosen = parameters(unfreeze_every=2, batch_norm="train")
    images, labels = pictures()
    x = encoders.preprocess(torch.from_numpy(images), encoder.config)
    y = torch.from_numpy(labels)

    def bits(module: nn.Module) -> bytes:
        return b"".join(t.detach().numpy().tobytes() for t in module.state_dict().values())

    def state() -> list[bytes]:
        return [b"".join(bits(m) for m in g.modules) for g in groups] + [bits(model.head)]

    first = state()
    changed: list[list[bool]] = []

    def record(_: nn.Module) -> dict[str, float]:
        changed.append([now != before for now, before in zip(state(), first, strict=True)])
        return {"validation_loss": 0.0}

    train(
        *(model, fine_tune.cross_entropy, TrainingData(24, lambda i, _: (x[i], y[i]))),
        parameters=TrainingParameters(
            **{"steps": 24, "epochs": 8, "batch_size": 8, "learning_rate": 0.01},
            **{"weight_decay": 0.1, "evaluations": 8},  # one an epoch of three steps
        ),
        compute=COMPUTE,
        seed=0,
        groups=parameter_groups(model.head, groups, chosen),
        evaluate=record,
        on_epoch=lambda _, epoch: set_trained(model, groups, epoch, chosen),
    )
    head_only, top, middle, everything = [
        [*[False] * frozen, *[True] * (4 - frozen)] for frozen in (3, 2, 1, 0)
    ]
    assert changed == [
        *[head_only] * 2,
        *[top] * 2,
        *[middle] * 2,
        *[everything] * 2,
    ]


# --- many fits -------------------------------------------------------------------------------


def plan(encoder: Encoder, checkpoints: CheckpointFolder, **changed: Any) -> FitPlan:
    images, labels = pictures()
    arguments: dict[str, Any] = {
        **{"encoder": encoder, "from_scratch": False, "images": images, "labels": labels},
        **{"classes": 2, "parameters": parameters(), "compute": COMPUTE},
        **{"checkpoints": checkpoints, "made_of": ["code", "images"], **changed},
    }
    return FitPlan(**arguments)


def test_a_finished_fit_is_not_done_again(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FitJob(identity(shots=None), TRAIN, VALIDATION, TEST)
    folder = CheckpointFolder(tmp_path)
    first = run_job(plan(encoder, folder), job)
    assert [p.name for p in (tmp_path / "shots_all_seed_0").iterdir()] == ["result.safetensors"]
    trained: list[dict[str, Any]] = []
    real = fine_tune.fit_network

    def counted(*arguments: Any, **named: Any) -> Any:
        trained.append(named["identity"])
        return real(*arguments, **named)

    monkeypatch.setattr(fine_tune, "fit_network", counted)
    kept = run_job(plan(encoder, folder), job)
    assert not trained
    assert kept.identity == first.identity
    assert kept.chosen == first.chosen
    assert np.array_equal(kept.test, first.test)
    assert np.array_equal(kept.validation, first.validation)
    assert (kept.train_seconds, kept.peak_memory_bytes) == (
        first.train_seconds,
        first.peak_memory_bytes,
    )
    assert first.history is not None
    assert kept.history is not None
    pd.testing.assert_frame_equal(kept.history, first.history, check_exact=True)

    # How often it is saved changes nothing; what it is made of does.
    saved_more = COMPUTE.model_copy(update={"checkpoint_seconds": 1.0})
    run_job(plan(encoder, folder, compute=saved_more), job)
    assert not trained
    others = [
        {"made_of": ["other code", "images"]},
        {"parameters": parameters(head_scale=0.5)},
        {"compute": COMPUTE.model_copy(update={"precision": "bf16"})},
        {"from_scratch": True},
    ]
    for count, changed in enumerate(others, start=1):
        run_job(plan(encoder, folder, **changed), job)
        assert len(trained) == count
    run_job(plan(encoder, folder), FitJob(job.identity, TRAIN[1:], VALIDATION, TEST))
    assert len(trained) == 5


def test_an_interrupted_fit_goes_on(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path)
    often = COMPUTE.model_copy(update={"checkpoint_seconds": 0.0})
    job = FitJob(identity(), TRAIN, VALIDATION, TEST)
    whole = fitted(encoder, parameters(batch_norm="train"))[0]
    calls = []

    def interrupted(*arguments: Any) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return augment(*arguments)

    monkeypatch.setattr(fine_tune, "augment", interrupted)
    chosen = plan(encoder, folder, compute=often, parameters=parameters(batch_norm="train"))
    with pytest.raises(KeyboardInterrupt):
        run_job(chosen, job)
    fit = run_job(chosen, job)
    assert len(calls) == 30 + 1
    assert np.array_equal(fit.test, whole.test)
    assert fit.history is not None
    pd.testing.assert_frame_equal(fit.history, whole.history, check_exact=True)


# --- the real network --------------------------------------------------------------------------


def test_efficientnet_lite0_trains() -> None:
    encoder = random_network("efficientnet_lite0", 32, seed=0)
    groups = layer_groups(encoders.to_network(encoder))
    assert len(groups) == 9  # the stem, seven stages, the last convolution
    assert sum(p.numel() for g in groups for p in g.parameters) == encoder.parameters
    chosen = parameters(
        training={"steps": 2, "batch_size": 8, "evaluations": 1},
        batch_norm="train",
        head_initialization="linear_probe",
        augmentation=AugmentationParameters(shift=0.1),
    )
    fit, trained, head = fitted(encoder, chosen)
    assert np.isfinite(fit.test).all()
    assert head["weight"].shape == (2, 1280)
    assert trained.tensors.keys() == encoder.tensors.keys()
