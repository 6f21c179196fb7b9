"""One method on one family: what a fit holds, that it resumes, and what becomes of divergence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.meta_learning import fit as fits
from headstart.learning.meta_learning.evaluation import evaluate_episodes
from headstart.learning.meta_learning.fit import MetaFit, MetaFitPlan, MetaJob, run_meta_job
from headstart.learning.meta_learning.parameters import (
    Conv4Parameters,
    FromScratchParameters,
    JointTrainingParameters,
    MamlParameters,
    MetaTestParameters,
    SinusoidNetworkParameters,
)
from headstart.learning.meta_learning.tables import (
    episode_scores,
    identity_of,
    score_curves,
    training_row,
)
from headstart.learning.meta_learning.tasks import ClassTasks, SinusoidTasks

COMPUTE = ComputeParameters(device="cpu", progress=False, checkpoint_seconds=0.0)
SINUSOIDS = SinusoidTasks(amplitude=(0.1, 5.0), phase=(0.0, 3.14), x=(-5.0, 5.0))
JOB = MetaJob(shots=2, seed=0)


def training(steps: int = 6) -> TrainingParameters:
    return TrainingParameters(
        **{"steps": steps, "epochs": 1, "batch_size": 2, "learning_rate": 0.01, "evaluations": 3}
    )


def images(classes: int = 12, each: int = 6) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (classes * each, 12, 12, 1), dtype=np.uint8)
    labels = np.repeat(np.arange(classes), each)
    splits = np.array(["meta_train", "meta_validation", "meta_test"])[labels % 3]
    return stored, pd.DataFrame({"class": labels, "split": splits})


def plan(**changes: Any) -> MetaFitPlan:
    stored, examples = images()
    tasks = ClassTasks.of("letters", stored, np.arange(len(stored)), examples, ways=3)
    given = {
        "method": "maml",
        "parameters": MamlParameters(steps=1, step_size=0.1, test_steps=2, training=training()),
        "network": Conv4Parameters(filters=4, downsampling="stride"),
        "tasks": tasks,
        "queries": 3,
        "training_queries": 2,
        "test": MetaTestParameters(episodes=5, validation_episodes=3, seed=100, episodes_at_once=2),
        "inputs": {"size": 12, "channels": 1},
        "compute": COMPUTE,
    }
    return MetaFitPlan(**{**given, **changes})


def assert_same(one: MetaFit, other: MetaFit) -> None:
    for reading, scores in one.scores.items():
        np.testing.assert_array_equal(scores, other.scores[reading])
    np.testing.assert_array_equal(one.validation, other.validation)
    pd.testing.assert_frame_equal(one.history, other.history)
    assert one.best_step == other.best_step


def test_a_killed_fit_goes_on_and_a_finished_training_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_meta_job(plan(), JOB)
    kept = plan(checkpoints=CheckpointFolder(tmp_path))
    calls = []

    def killed(*arguments: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return judge(*arguments)

    judge = fits._validation_loss
    with monkeypatch.context() as patched:
        patched.setattr(fits, "_validation_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            run_meta_job(kept, JOB)
    assert (tmp_path / "shots_2_seed_0" / "training.safetensors").exists()
    assert_same(run_meta_job(kept, JOB), whole)
    # Killed once more, while it was scored: the training is there.
    monkeypatch.setattr(fits, "meta_train", None)
    again = run_meta_job(kept, JOB)
    assert_same(again, whole)
    assert again.learner is not None
    assert whole.learner is not None
    for name, weights in whole.learner.weights.items():
        assert again.learner.weights[name].equal(weights)
    for changes in ({"training_queries": 1}, {"queries": 2}):  # of other parameters it is not
        with pytest.raises(TypeError):
            run_meta_job(replace(kept, **changes), JOB)


def test_what_is_handed_over_scores_what_the_tables_say() -> None:
    made = plan()
    found = run_meta_job(made, JOB)
    assert found.learner is not None
    scores = evaluate_episodes(
        found.learner.build(),
        made.tasks.part("meta_test", 2, 3),
        **{"episodes": 5, "seed": 100, "steps": 2, "reading": "support", "tasks_at_once": 2},
    )
    np.testing.assert_array_equal(scores.scores, found.scores["support"])
    identity = identity_of(found, "letters.3_way", "conv4", "maml")
    rows = episode_scores(found, made, identity)
    assert rows.groupby(["split", "metric"]).size().to_dict() == {
        ("test", "accuracy"): 5,
        ("test", "accuracy_transductive"): 5,
        ("validation", "accuracy"): 3,
    }
    own = rows[(rows["split"] == "test") & (rows["metric"] == "accuracy")]
    assert own["value"].tolist() == scores.scores[2].tolist()
    assert own["episode"].tolist() == [0, 1, 2, 3, 4]
    assert (own["n_train"] == 6).all()
    assert (own["n_test"] == 9).all()
    curve = score_curves(found, identity)
    assert curve["step"].tolist() == [0, 1, 2] * 2
    last = curve[(curve["reading"] == "support") & (curve["step"] == 2)].iloc[0]
    assert last["mean"] == pytest.approx(own["value"].mean())
    assert training_row(found, made, identity)["iterations"].tolist() == [6]


def test_batch_norm_is_read_as_asked() -> None:
    made = plan()
    test = made.test.model_copy(update={"reading": "running"})
    running = run_meta_job(replace(made, test=test), JOB).scores
    support = run_meta_job(made, JOB).scores
    assert set(running) == {"running", "query"}
    assert set(support) == {"support", "query"}
    # Without meta-training there are no running statistics, so the support set's are taken.
    scratch = {
        "method": "from_scratch",
        "parameters": FromScratchParameters(step_size=0.1, test_steps=2),
    }
    asked = run_meta_job(replace(made, test=test, **scratch), JOB)
    own = run_meta_job(replace(made, **scratch), JOB)
    np.testing.assert_array_equal(asked.scores["running"], own.scores["support"])
    assert asked.train_seconds == 0


def test_a_task_that_diverges_is_counted_and_ends_nothing() -> None:
    parameters = JointTrainingParameters(step_size=1e20, test_steps=3, training=training())
    made = plan(
        **{"method": "joint_training", "parameters": parameters, "tasks": SINUSOIDS},
        **{"network": SinusoidNetworkParameters(hidden=(8,), deviation=0.5), "inputs": {}},
        test=MetaTestParameters(
            **{"episodes": 5, "validation_episodes": 3, "seed": 100, "diverged": 100.0}
        ),
    )
    found = run_meta_job(made, JOB)
    assert set(found.scores) == {"support"}
    assert found.diverged["support"].tolist()[0] == 0
    assert found.diverged["support"].tolist()[-1] == 5
    assert np.isinf(found.scores["support"][-1]).all()
    rows = episode_scores(found, made, identity_of(found, "sinusoids", "dense", "joint_training"))
    assert set(rows["metric"]) == {"mse"}
    assert (rows["n_test"] == 3).all()


def test_meta_validation_chooses_the_weights_that_are_kept() -> None:
    parameters = MamlParameters(steps=1, step_size=0.01, test_steps=1, training=training(30))
    made = plan(
        **{"parameters": parameters, "tasks": SINUSOIDS, "inputs": {}},
        network=SinusoidNetworkParameters(hidden=(8,), deviation=0.3),
    )
    found = run_meta_job(made, JOB)
    losses = found.history[found.history["name"] == "validation_loss"]
    best = losses.loc[losses["value"].idxmin()]
    assert found.best_step == best["step"]
    assert found.validation.mean() == pytest.approx(best["value"], rel=1e-5)


def test_parts_of_a_family_have_no_class_in_common() -> None:
    stored, examples = images()
    tasks = ClassTasks.of("letters", stored, np.arange(len(stored)), examples, ways=3)
    drawn = {
        split: {
            int(tasks.labels[row])
            for i in range(20)
            for row in tasks.part(split, 1, 1).rows(0, i).flat
        }
        for split in ("meta_train", "meta_validation", "meta_test")
    }
    assert not set.intersection(*drawn.values())
    assert set.union(*drawn.values()) == set(range(12))
    batch = tasks.part("meta_test", 1, 1).episodes(0, [0])
    assert batch.support_x.shape == (1, 3, 1, 12, 12)
    first = tasks.part("meta_test", 1, 1).rows(0, 0)[0, 0]
    pixels = stored[first, :, :, 0].astype(np.float32) / 255
    np.testing.assert_array_equal(batch.support_x[0, 0, 0].numpy(), pixels)
    with pytest.raises(HeadstartError, match="letters, meta-test: an episode needs 7 examples"):
        tasks.part("meta_test", 5, 2)
