"""Prototypical networks, nearest centroids, and pretraining on pooled classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestCentroid as SklearnCentroid

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool, Episodes
from headstart.learning.meta_learning.frozen_features import FrozenFeatures
from headstart.learning.meta_learning.nearest_centroid import NearestCentroid
from headstart.learning.meta_learning.parameters import (
    NearestCentroidParameters,
    PooledPretrainingParameters,
    PrototypicalParameters,
)
from headstart.learning.meta_learning.pooled_pretraining import PooledPretraining
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.meta_learning.prototypical import Prototypical
from headstart.learning.meta_learning.task_network import Normalization

TRAINING = TrainingParameters(steps=1, epochs=1, batch_size=2, learning_rate=0.001)


def feature_episodes(tasks: int = 4) -> Episodes:
    rng = np.random.default_rng(0)
    pool = ClassPool("f", rng.normal(size=(60, 5)) + 1, np.repeat(np.arange(6), 10))
    return ClassEpisodes(pool, np.arange(6), 3, 2, 4).episodes(0, range(tasks))


def test_prototypes_by_hand() -> None:
    support = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [4.0, 4.0]]])
    support_y = torch.tensor([[0, 0, 1, 1]])  # means (1, 0) and (2, 4)
    query, query_y = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[1]])
    method = Prototypical(
        FrozenFeatures(), CLASSIFICATION, PrototypicalParameters(training=TRAINING)
    )
    adapted = method.adapt(support, support_y, query, steps=9, reading="query")
    assert adapted.outputs.tolist() == [[[[-1.0, -10.0]]]]
    assert adapted.weights["prototypes"].tolist() == [[[1.0, 0.0], [2.0, 4.0]]]
    loss = method(Episodes(support, support_y, query, query_y)).loss
    assert loss.item() == pytest.approx(9 + np.log1p(np.exp(-9)), rel=1e-6)


@pytest.mark.parametrize("unit_length", [False, True])
def test_the_nearest_centroid_is_that_of_scikit_learn(unit_length: bool) -> None:
    episodes = feature_episodes()
    parameters = NearestCentroidParameters(unit_length=unit_length)
    method = NearestCentroid(FrozenFeatures(), CLASSIFICATION, parameters)
    outputs = method.adapt(*episodes[:3], steps=0, reading="query").outputs[0]
    for task in range(4):
        x, y, query = (t[task].numpy() for t in episodes[:3])
        if unit_length:
            x, query = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, query))
        expected = SklearnCentroid().fit(x, y).predict(query)
        assert outputs[task].argmax(1).tolist() == expected.tolist()


@pytest.mark.parametrize("reading", ["query", "support", "running"])
def test_prototypical_networks_learn_the_space_and_read_batch_norm_as_told(reading: str) -> None:
    torch.manual_seed(0)
    network = Conv4(1, 3, 0).double()
    method = Prototypical(network, CLASSIFICATION, PrototypicalParameters(training=TRAINING))
    x, y = torch.rand(2, 4, 1, 16, 16).double(), torch.arange(2).repeat(2, 2)
    query = torch.rand(2, 6, 1, 16, 16).double()
    outputs = method.adapt(x, y, query, steps=0, reading=reading).outputs[0]  # type: ignore[arg-type]
    normalization = Normalization(
        rows=4 if reading == "support" else None, running=reading == "running"
    )
    features, _ = network.features(network.stacked(2), torch.cat([x, query], 1), normalization)
    for task in range(2):
        means = torch.stack([features[task, :4][y[task] == k].mean(0) for k in range(2)])
        expected = -torch.cdist(features[task, 4:], means).square()
        torch.testing.assert_close(outputs[task], expected.detach(), rtol=1e-6, atol=1e-9)
    alone = method.adapt(x, y, query[:, :1], steps=0, reading=reading).outputs[0]  # type: ignore[arg-type]
    assert torch.allclose(alone, outputs[:, :1]) == (reading != "query")
    result = method(Episodes(x, y, query[:, :4], y))
    result.loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in method.parameters())


def pooled(classes: np.ndarray) -> PooledPretraining:
    torch.manual_seed(0)
    parameters = PooledPretrainingParameters(
        scale=5.0, step_size=0.05, test_steps=20, training=TRAINING
    )
    return PooledPretraining(FrozenFeatures(), CLASSIFICATION, parameters, 5, classes)


def test_pretraining_is_a_cosine_classifier_over_the_classes_it_is_given() -> None:
    rng = np.random.default_rng(0)
    pool = ClassPool("f", rng.normal(size=(60, 5)), np.repeat(np.arange(6) * 10, 10))
    classes = np.array([50, 10, 20])
    method = pooled(classes)
    data = method.training_data(ClassEpisodes(pool, classes, 3, 1, 1), TRAINING, seed=0)
    assert data.size == 30
    x, y = data.load(np.array([0, 10, 29]), torch.Generator())
    assert y.tolist() == [0, 1, 2]  # places of the classes in their order: 10, 20, 50
    np.testing.assert_allclose(x, pool.inputs[[10, 20, 59]].astype(np.float32))
    cosines = F.cosine_similarity(x[:, None], method.head[None], dim=2)
    expected = F.cross_entropy(5.0 * cosines, y)
    torch.testing.assert_close(method((x, y)).loss, expected)


def test_a_new_task_starts_at_the_class_means_and_descends() -> None:
    episodes = feature_episodes()
    method = pooled(np.arange(6))
    adapted = method.adapt(*episodes[:3], steps=20, reading="query")
    x, y = F.normalize(episodes.support_x, dim=2), episodes.support_y
    by_class = [[x[t][y[t] == k].mean(0) for k in range(3)] for t in range(4)]
    means = torch.stack([torch.stack(of_task) for of_task in by_class])
    cosines = F.normalize(episodes.query_x, dim=2) @ F.normalize(means, dim=2).mT
    torch.testing.assert_close(adapted.outputs[0], 5 * cosines)
    told = method.adapt(*episodes[:2], episodes.support_x, steps=20, reading="query")
    losses = [CLASSIFICATION.loss(o, y).mean().item() for o in told.outputs]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
    assert adapted.weights["head"].shape == (4, 3, 5)
