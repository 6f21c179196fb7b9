from __future__ import annotations

import pytest
import torch

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.anil import Anil
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.inner_loop import gradient_step
from headstart.learning.meta_learning.parameters import MamlParameters
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.meta_learning.task_network import Normalization, Weights


@pytest.fixture
def method() -> Anil:
    torch.manual_seed(0)
    training = TrainingParameters(steps=1, epochs=1, batch_size=2, learning_rate=0.001)
    parameters = MamlParameters(steps=2, step_size=0.3, test_steps=2, training=training)
    return Anil(Conv4(1, 3, 2, inner_steps=2).double(), CLASSIFICATION, parameters)


@pytest.fixture
def episodes() -> Episodes:
    torch.manual_seed(1)
    y = torch.arange(2).repeat(2, 2)
    return Episodes(
        torch.rand(2, 4, 1, 16, 16).double(), y, torch.rand(2, 4, 1, 16, 16).double(), y
    )


def test_it_is_maml_whose_body_stands_still(method: Anil, episodes: Episodes) -> None:
    """Against inner steps through the whole network, of which the head's alone are taken."""
    network = method.network
    weights = network.stacked(2)
    for _ in range(2):
        body = {n: w for n, w in weights.items() if not n.startswith("head")}

        def loss(head: Weights, body: Weights = body) -> tuple[torch.Tensor, torch.Tensor]:
            outputs, moments = network({**body, **head}, episodes.support_x, Normalization())
            return CLASSIFICATION.loss(outputs, episodes.support_y), moments

        head = {n: w for n, w in weights.items() if n.startswith("head")}
        stepped, _, _ = gradient_step(loss, head, 0.3, "second")
        weights = {**body, **stepped}
    outputs, _ = network(weights, episodes.query_x, Normalization())
    expected = CLASSIFICATION.loss(outputs, episodes.query_y).mean()
    result = method(episodes)
    torch.testing.assert_close(result.loss, expected)
    parts = list(network.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(result.loss, parts),
        torch.autograd.grad(expected, parts),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-11)
    assert result.moments.shape == (3, 2, 4, 3)


def test_adaptation_ends_where_training_did(method: Anil, episodes: Episodes) -> None:
    adapted = method.adapt(
        episodes.support_x, episodes.support_y, episodes.query_x, steps=2, reading="query"
    )
    assert set(adapted.weights) == {"head_weight", "head_bias"}
    loss = CLASSIFICATION.loss(adapted.outputs[2], episodes.query_y).mean()
    torch.testing.assert_close(loss, method(episodes).loss.detach())
