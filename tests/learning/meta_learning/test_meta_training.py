"""Meta-training through the training loop, and evaluation on new episodes, for all methods."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.meta_learning import parameters as blocks
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool
from headstart.learning.meta_learning.evaluation import EpisodeScores, evaluate_episodes
from headstart.learning.meta_learning.meta_training import meta_train
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.registry import METHODS, build_method
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.learning.training import TrainingResult

COMPUTE = ComputeParameters(device="cpu", progress=False)
CONV = blocks.Conv4Parameters(filters=4, downsampling="stride")
DENSE = blocks.SinusoidNetworkParameters(hidden=(20, 20), deviation=0.1)


def training(**changed: Any) -> TrainingParameters:
    return TrainingParameters(
        **{
            **{"steps": 6, "epochs": 100, "batch_size": 4, "learning_rate": 0.01},
            **{"schedule": "constant", "warmup_share": 0.0, "evaluations": 2},
            **changed,
        }
    )


def block(name: str, **changed: Any) -> Any:
    """Parameters of each method."""
    rates = {"step_size": 0.1, "test_steps": 2}
    inner = {**rates, "steps": 2}
    loop = {"training": training(**changed)}
    return {
        "maml": lambda: blocks.MamlParameters(**inner, **loop, learn_step_sizes=True),
        "fomaml": lambda: blocks.FirstOrderMamlParameters(**inner, **loop),
        "anil": lambda: blocks.MamlParameters(**inner, **loop),
        "reptile": lambda: blocks.ReptileParameters(**inner, **loop, examples=3),
        "prototypical": lambda: blocks.PrototypicalParameters(**loop),
        "joint_training": lambda: blocks.JointTrainingParameters(**rates, **loop),
        "pooled_pretraining": lambda: blocks.PooledPretrainingParameters(**rates, **loop, scale=10),
        "nearest_centroid": blocks.NearestCentroidParameters,
        "from_scratch": lambda: blocks.FromScratchParameters(**rates),
    }[name]()


def stripes(classes: int = 6, each: int = 8) -> ClassPool:
    """Images of 8 x 8 with a wave of each class's own direction and frequency."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    row, column = np.mgrid[:8, :8]
    waves = [np.sin(row * (1 + c % 3) + column * (c // 3) * 2) for c in labels]
    noisy = np.stack(waves) + 0.2 * rng.normal(size=(len(labels), 8, 8))
    return ClassPool("stripes", noisy[:, None].astype(np.float32), labels)


def letters() -> ClassEpisodes:
    return ClassEpisodes(stripes(), np.arange(6), ways=3, shots=2, queries=2)


def trained(
    method: Method, family: Any, loop: TrainingParameters, compute: Any = COMPUTE, **more: Any
) -> TrainingResult:
    data = method.training_data(family, loop, seed=5)
    return meta_train(method, data, training=loop, compute=compute, seed=0, **more)


def state(method: Method) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in method.state_dict().items()}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_trains_and_meets_new_tasks(name: str) -> None:
    chosen, family = block(name), letters()
    method = build_method(name, chosen, CONV, family, seed=0)
    start = state(method)
    if method.meta_trained:
        result = trained(method, family, chosen.training)
        assert result.steps == 6
        assert {"train_loss", "train_score"} <= set(result.history["name"])
        assert all(not torch.equal(start[n], t) for n, t in state(method).items())
    end, steps = state(method), getattr(chosen, "test_steps", 0)
    assert ("running" in method.readings) == method.meta_trained
    for reading in method.readings:
        scores = evaluate_episodes(method, family, episodes=5, seed=9, steps=steps, reading=reading)
        assert scores.scores.shape == (steps + 1, 5)
        assert scores.diverged() == 0
        # However many are computed together.
        again = evaluate_episodes(
            method, family, episodes=5, seed=9, steps=steps, reading=reading, tasks_at_once=2
        )
        np.testing.assert_allclose(again.losses, scores.losses, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(end[n], t) for n, t in state(method).items())


@pytest.mark.parametrize("name", ["maml", "reptile", "pooled_pretraining"])
def test_a_resumed_training_ends_as_one_that_was_not_interrupted(name: str, tmp_path: Path) -> None:
    chosen, family = block(name), letters()
    whole = build_method(name, chosen, CONV, family, seed=0)
    trained(whole, family, chosen.training)
    resumed = build_method(name, chosen, CONV, family, seed=0)
    compute = COMPUTE.model_copy(update={"checkpoint_seconds": 0.0})
    checkpoint = {"checkpoint": CheckpointFolder(tmp_path), "signature": "s"}
    data = resumed.training_data(family, chosen.training, seed=5)
    calls = 0

    def killed(indices: np.ndarray, generator: torch.Generator) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return data.load(indices, generator)

    with pytest.raises(KeyboardInterrupt):
        meta_train(
            resumed,
            type(data)(data.size, killed, data.shuffle),
            **{"training": chosen.training, "compute": compute, "seed": 0},
            **checkpoint,
        )
    other = build_method(name, chosen, CONV, family, seed=1)  # weights come from the checkpoint
    trained(other, family, chosen.training, compute, **checkpoint)
    assert all(torch.equal(t, state(other)[n]) for n, t in state(whole).items())


def test_no_task_comes_twice() -> None:
    seen: list[np.ndarray] = []
    family = Sinusoids(5, 5)
    loop = training()
    method = build_method("maml", block("maml"), DENSE, family, seed=0)
    data = method.training_data(family, loop, seed=0)

    def load(indices: np.ndarray, generator: torch.Generator) -> Any:
        seen.append(indices)
        return data.load(indices, generator)

    logged = type(data)(data.size, load, data.shuffle)
    meta_train(method, logged, training=loop, compute=COMPUTE, seed=0)
    assert np.concatenate(seen).tolist() == list(range(24))


def test_maml_learns_to_learn_sinusoids_and_joint_training_does_not() -> None:
    family, test = Sinusoids(10, 10), Sinusoids(10, 50)
    errors = {}
    for name in ("maml", "joint_training"):
        chosen = block(
            name, steps=400, batch_size=25, learning_rate=0.005, clip_norm=None
        ).model_copy(update={"step_size": 0.02, "tasks_at_once": 25})
        method = build_method(name, chosen, DENSE, family, seed=0)
        trained(method, family, chosen.training)
        scores = evaluate_episodes(method, test, episodes=100, seed=1, steps=2, tasks_at_once=100)
        errors[name] = scores.scores.mean(1)
    assert errors["maml"][2] < 0.6 * errors["joint_training"].min()
    assert errors["maml"][2] < 0.6 * errors["maml"][0]


def test_compiled_it_trains_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    # All but the last stage of the compiler, which takes a minute and has tests of its own.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    family, chosen = Sinusoids(5, 5), block("maml")
    states = []
    for compile_it in (False, True):
        method = build_method("maml", chosen, DENSE, family, seed=0)
        compute = COMPUTE.model_copy(update={"compile": compile_it})
        trained(method, family, chosen.training, compute)
        states.append(state(method))
    for name, weight in states[0].items():
        torch.testing.assert_close(states[1][name], weight, rtol=1e-4, atol=1e-5)


def test_scores_have_intervals_and_count_what_diverged() -> None:
    losses = np.array([[1.0, 2.0, 3.0], [0.5, np.nan, 50.0]])
    scores = EpisodeScores("mse", "query", losses, losses)
    interval = scores.interval(0)
    half = 4.302652729911275 / np.sqrt(3)  # t(0.975, 2) s / sqrt(3), s = 1
    assert (interval.mean, interval.low) == pytest.approx((2, 2 - half))
    assert (scores.diverged(0), scores.diverged(), scores.diverged(limit=10)) == (0, 1, 2)
    curve = scores.curve()
    assert curve["step"].tolist() == [0, 1]
    assert curve["episodes"].tolist() == [3, 3]
    assert curve["mean"][0] == 2
    assert np.isnan(curve["mean"][1])
