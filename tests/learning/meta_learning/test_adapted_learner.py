"""A task that was learned predicts as the method does, each example on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.datasets import AdaptedLearnerDataset
from headstart.errors import HeadstartError
from headstart.learning.meta_learning.adapted_learner import learn_task, predict
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool, Episodes
from headstart.learning.meta_learning.meta_learner import MetaLearner
from headstart.learning.meta_learning.parameters import Conv4Parameters, SinusoidNetworkParameters
from headstart.learning.meta_learning.registry import (
    METHOD_PARAMETERS,
    METHODS,
    METRIC_METHODS,
    build_method,
)
from headstart.learning.meta_learning.sinusoids import Sinusoids

PARAMETERS: dict[str, dict[str, Any]] = {
    "maml": {"steps": 1, "step_size": 0.2, "learn_step_sizes": True, "test_steps": 3},
    "fomaml": {"steps": 2, "step_size": 0.2, "order": "first", "test_steps": 3},
    "anil": {"steps": 2, "step_size": 0.5, "test_steps": 3},
    "reptile": {"steps": 2, "step_size": 0.2, "examples": 3, "test_steps": 3},
    "prototypical": {},
    "joint_training": {"step_size": 0.2, "test_steps": 3},
    "pooled_pretraining": {"scale": 5.0, "step_size": 0.2, "test_steps": 3},
    "nearest_centroid": {},
    "from_scratch": {"step_size": 0.2, "test_steps": 3},
}
TRAINING = {"steps": 1, "epochs": 1, "batch_size": 1, "learning_rate": 0.01}


def family(ways: int = 3) -> ClassEpisodes:
    images = np.random.default_rng(0).integers(0, 256, (36, 1, 16, 16), dtype=np.uint8)
    pool = ClassPool("letters", images, np.repeat(np.arange(6), 6))
    return ClassEpisodes(pool, np.arange(6), ways, shots=2, queries=4)


def make(name: str, tasks: Any) -> tuple[Any, MetaLearner]:
    """A method with statistics of batch norm of its own for each step, and its meta-learner."""
    parameters: Any = METHOD_PARAMETERS[name].model_validate(
        PARAMETERS[name] | ({"training": TRAINING} if METHODS[name].meta_trained else {})
    )
    network: Any = Conv4Parameters(filters=4)
    if isinstance(tasks, Sinusoids):
        network = SinusoidNetworkParameters(deviation=0.3)
    method = build_method(name, parameters, network, tasks, seed=3)
    generator = torch.Generator().manual_seed(0)
    for moment in method.network.buffers():
        moment.add_(0.3 * torch.rand(moment.shape, generator=generator))
    learner = MetaLearner.of(
        *(name, method), parameters=parameters, network=network, inputs={}, reading="support"
    )
    return method, learner


def one_task(tasks: Any) -> Episodes:
    return Episodes(*tasks.episodes(5, [0]))


@pytest.mark.parametrize(
    ("name", "reading"),
    [(name, "support") for name in METHODS]
    + [(name, "running") for name in METHODS if METHODS[name].meta_trained],
)
def test_it_predicts_as_its_method_does(tmp_path: Path, name: str, reading: Any) -> None:
    method, learner = make(name, family())
    support_x, support_y, query_x, _ = one_task(family())
    expected = method.adapt(support_x, support_y, query_x, steps=3, reading=reading).outputs[-1, 0]
    adapted = learn_task(
        learner, support_x[0], support_y[0], classes=("a", "b", "c"), reading=reading
    )
    torch.testing.assert_close(predict(adapted, query_x[0]), expected, rtol=1e-4, atol=1e-4)
    alone = torch.cat([predict(adapted, x[None]) for x in query_x[0]])
    torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-4)
    # The two readings differ, or the test above would not tell them apart.
    other = "running" if reading == "support" else "support"
    if other in method.readings:
        outputs = method.adapt(support_x, support_y, query_x, steps=3, reading=other).outputs[-1, 0]
        assert not torch.allclose(outputs, expected, rtol=1e-2, atol=1e-2)

    dataset = AdaptedLearnerDataset(filepath=str(tmp_path / "task"))
    assert not dataset.exists()
    dataset.save(adapted)
    loaded = dataset.load()
    assert torch.equal(predict(loaded, query_x[0]), predict(adapted, query_x[0]))
    assert (loaded.classes, loaded.steps) == (("a", "b", "c"), adapted.steps)
    assert not [p for p in tmp_path.rglob("*") if p.suffix not in ("", ".json", ".safetensors")]


def test_numbers_are_predicted_after_as_many_steps_as_are_asked_for() -> None:
    tasks = Sinusoids(shots=5, queries=7)
    method, learner = make("maml", tasks)
    support_x, support_y, query_x, _ = one_task(tasks)
    outputs = method.adapt(support_x, support_y, query_x, steps=4, reading="query").outputs
    for steps in (0, 2, 4):
        adapted = learn_task(learner, support_x[0], support_y[0], steps=steps)
        torch.testing.assert_close(predict(adapted, query_x[0]), outputs[steps, 0])


@pytest.mark.parametrize("name", sorted(METRIC_METHODS))
def test_metric_methods_take_any_number_of_classes(name: str) -> None:
    _, learner = make(name, family(ways=3))
    support_x, support_y, query_x, _ = one_task(family(ways=5))
    adapted = learn_task(learner, support_x[0], support_y[0], classes=tuple("abcde"))
    assert predict(adapted, query_x[0]).shape == (20, 5)


def test_a_last_layer_of_other_classes_is_refused_with_the_numbers() -> None:
    _, learner = make("maml", family(ways=3))
    support_x, support_y, _, _ = one_task(family(ways=2))
    with pytest.raises(HeadstartError) as error:
        learn_task(learner, support_x[0], support_y[0], classes=("alpha", "beta"))
    message = str(error.value)
    assert "meta-trained on tasks of 3 classes" in message
    assert "yours has 2 (alpha, beta)" in message
    assert "any number of classes: pooled_pretraining, prototypical." in message


def test_running_statistics_need_a_meta_training() -> None:
    _, learner = make("from_scratch", family())
    support_x, support_y, _, _ = one_task(family())
    with pytest.raises(HeadstartError, match="choose the reading 'support'"):
        learn_task(learner, support_x[0], support_y[0], classes=("a", "b", "c"), reading="running")
