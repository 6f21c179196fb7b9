from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.parameters import ReptileParameters
from headstart.learning.meta_learning.problems import REGRESSION
from headstart.learning.meta_learning.reptile import Reptile
from headstart.learning.meta_learning.sinusoid_network import SinusoidNetwork

TRAINING = TrainingParameters(steps=1, epochs=1, batch_size=2, learning_rate=0.001)


def reptile(steps: int, examples: int) -> Reptile:
    torch.manual_seed(0)
    network = SinusoidNetwork(hidden=(), deviation=0.5).double()  # y = x w + b
    parameters = ReptileParameters(
        steps=steps, step_size=0.1, examples=examples, test_steps=1, training=TRAINING
    )
    return Reptile(network, REGRESSION, parameters)


def lines() -> Episodes:
    x = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.3, -1.0]]).double()[:, :, None]
    y = torch.stack([2 * x[0] + 1, -x[1] + 0.5])
    return Episodes(x[:, :2], y[:, :2], x[:, 2:], y[:, 2:])


@pytest.mark.parametrize(("steps", "examples"), [(1, 3), (2, 1), (5, 2)])
def test_the_direction_by_hand(steps: int, examples: int) -> None:
    method, episodes = reptile(steps, examples), lines()
    w0, b0 = (method.network.weights[n].detach().item() for n in ("head_weight", "head_bias"))
    expected, loss = [0.0, 0.0], 0.0
    for task in range(2):
        points = [
            (float(x), float(y))
            for xs, ys in (episodes[:2], episodes[2:])
            for x, y in zip(xs[task], ys[task], strict=True)
        ]
        w, b = w0, b0
        for step in range(steps):
            taken = [points[(step * examples + i) % 3] for i in range(examples)]
            errors = [(x, w * x + b - y) for x, y in taken]
            last = sum(e**2 for _, e in errors) / examples
            w -= 0.1 * sum(2 * e * x for x, e in errors) / examples
            b -= 0.1 * sum(2 * e for _, e in errors) / examples
        loss += last / 2
        expected[0] += (w0 - w) / (0.1 * steps) / 2
        expected[1] += (b0 - b) / (0.1 * steps) / 2
    result = method(episodes)
    result.loss.backward()
    found = [method.network.weights[n].grad.item() for n in ("head_weight", "head_bias")]  # type: ignore[union-attr]
    assert found == pytest.approx(expected, rel=1e-10)
    assert result.loss.item() == pytest.approx(loss, rel=1e-10)


def test_one_step_on_everything_is_joint_training() -> None:
    method, episodes = reptile(1, 3), lines()
    method(episodes).loss.backward()
    found = {n: w.grad.clone() for n, w in method.network.weights.items()}  # type: ignore[union-attr]
    method.zero_grad()
    x = torch.cat([episodes.support_x, episodes.query_x], 1).flatten(0, 1)
    y = torch.cat([episodes.support_y, episodes.query_y], 1).flatten(0, 1)
    weights = method.network.weights
    F.mse_loss(x @ weights["head_weight"] + weights["head_bias"], y).backward()
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight.grad)
