from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.joint_training import JointTraining
from headstart.learning.meta_learning.maml import Maml
from headstart.learning.meta_learning.parameters import JointTrainingParameters, MamlParameters
from headstart.learning.meta_learning.problems import CLASSIFICATION, REGRESSION
from headstart.learning.meta_learning.sinusoid_network import SinusoidNetwork
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork, Weights

TRAINING = TrainingParameters(steps=1, epochs=1, batch_size=4, learning_rate=0.001)


def parameters(**changed: Any) -> MamlParameters:
    return MamlParameters(
        **{
            **{"steps": 2, "step_size": 0.05, "test_steps": 3, "tasks_at_once": 4},
            **{"training": TRAINING},
            **changed,
        }
    )


def sinusoids(tasks: int = 4) -> Episodes:
    return Episodes(*(t.double() for t in Sinusoids(6, 5).episodes(0, range(tasks))))


def small_network() -> SinusoidNetwork:
    torch.manual_seed(0)
    return SinusoidNetwork((7, 6), deviation=0.5).double()


def gradients(method: nn.Module, episodes: Episodes) -> dict[str, torch.Tensor]:
    method.zero_grad()
    method(episodes).loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for n, p in method.named_parameters()}  # fmt: skip


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-9, atol=1e-12)


class Line(TaskNetwork):
    """y = w x."""

    def __init__(self, w: float):
        super().__init__()
        self.weights = nn.ParameterDict(
            {"head": nn.Parameter(torch.tensor([[w]], dtype=torch.float64))}
        )

    def features(
        self, weights: Weights, x: torch.Tensor, normalization: Normalization
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x.new_zeros(0)

    def head(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        return features * weights["head"]


# --- by hand ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["first", "second"])
def test_one_weight_and_one_step_by_hand(order: str) -> None:
    w, alpha = 0.7, 0.1
    tasks = [(2.0, 1.0, -1.0, 0.5), (-1.0, 3.0, 0.5, 2.0)]  # x and y, support and query
    episodes = Episodes(*torch.tensor(tasks, dtype=torch.float64).T[:, :, None, None])
    loss, gradient = 0.0, 0.0
    for x, y, x_query, y_query in tasks:
        adapted = w - alpha * 2 * x * (w * x - y)
        loss += (adapted * x_query - y_query) ** 2 / 2
        through = 1 - alpha * 2 * x**2 if order == "second" else 1.0  # I - alpha H
        gradient += through * 2 * x_query * (adapted * x_query - y_query) / 2
    method = Maml(Line(w), REGRESSION, parameters(steps=1, step_size=alpha, order=order))
    assert method(episodes).loss.item() == pytest.approx(loss, rel=1e-12)
    assert gradients(method, episodes)["network.weights.head"].item() == pytest.approx(
        gradient, rel=1e-12
    )


# --- finite differences ----------------------------------------------------------------------


@pytest.mark.parametrize("learn_step_sizes", [False, True])
def test_the_meta_gradient_of_a_dense_network_against_finite_differences(
    learn_step_sizes: bool,
) -> None:
    method = Maml(small_network(), REGRESSION, parameters(learn_step_sizes=learn_step_sizes))
    assert_gradcheck(method, sinusoids(2))


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
def test_the_meta_gradient_through_batch_norm_against_finite_differences(
    downsampling: Any,
) -> None:
    torch.manual_seed(0)
    network = Conv4(1, 2, 2, inner_steps=1, downsampling=downsampling).double()
    x = torch.rand(2, 4, 1, 16, 16).double()
    y = torch.arange(2).repeat(2, 2)
    method = Maml(network, CLASSIFICATION, parameters(steps=1, step_size=0.1))
    assert_gradcheck(method, Episodes(x, y, x.flip(1) + 0.1, y))


def assert_gradcheck(method: Maml, episodes: Episodes) -> None:
    names = [name for name, _ in method.named_parameters()]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(method, given, (episodes,)).loss

    values = tuple(p.detach().requires_grad_() for p in method.parameters())
    assert torch.autograd.gradcheck(loss, values, eps=1e-6, atol=1e-6, rtol=1e-4)


# --- against independent libraries -----------------------------------------------------------


class Plain(nn.Module):
    """The same dense network in torch's layers."""

    def __init__(self, network: SinusoidNetwork):
        super().__init__()
        self.names = ["hidden_0", "hidden_1", "head"]
        for name in self.names:
            weight = network.weights[f"{name}_weight"].detach()
            layer = nn.Linear(*weight.shape).double()
            layer.weight.data.copy_(weight.T)
            layer.bias.data.copy_(network.weights[f"{name}_bias"][0].detach())
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.hidden_1(F.relu(self.hidden_0(x)))))  # type: ignore[operator]

    def gradients(self) -> dict[str, torch.Tensor]:
        found = {}
        for name in self.names:
            layer = self.get_submodule(name)
            found[f"network.weights.{name}_weight"] = layer.weight.grad.T  # type: ignore[union-attr]
            found[f"network.weights.{name}_bias"] = layer.bias.grad[None]  # type: ignore[union-attr, index]
        return found


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_is_that_of_higher(steps: int, order: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        higher = pytest.importorskip("higher")
    network, episodes = small_network(), sinusoids()
    plain = Plain(network)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    for x, y, query_x, query_y in zip(*episodes, strict=True):
        track = order == "second"
        with higher.innerloop_ctx(
            plain, optimizer, copy_initial_weights=False, track_higher_grads=track
        ) as (fast, inner):
            for _ in range(steps):
                inner.step(F.mse_loss(fast(x), y))
            loss = F.mse_loss(fast(query_x), query_y) / 4
            if track:
                loss.backward()
                continue
            # higher cuts the tie to the start: the gradient at theta stands for that at phi.
            for p, g in zip(
                plain.parameters(), torch.autograd.grad(loss, list(fast.parameters())), strict=True
            ):
                p.grad = g if p.grad is None else p.grad + g
    method = Maml(network, REGRESSION, parameters(steps=steps, order=order))
    assert_same(gradients(method, episodes), plain.gradients())


def test_the_meta_gradient_is_that_of_torchopt() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchopt = pytest.importorskip("torchopt")
    network, episodes = small_network(), sinusoids()
    plain = Plain(network)
    inner = torchopt.MetaSGD(plain, lr=0.05)
    start = torchopt.extract_state_dict(plain), torchopt.extract_state_dict(inner)
    parts = list(plain.parameters())
    total = torch.zeros(()).double()
    for x, y, query_x, query_y in zip(*episodes, strict=True):
        for _ in range(2):
            inner.step(F.mse_loss(plain(x), y))
        total = total + F.mse_loss(plain(query_x), query_y) / 4
        torchopt.recover_state_dict(plain, start[0])
        torchopt.recover_state_dict(inner, start[1])
    found = torch.autograd.grad(total, parts)
    ours = list(gradients(Maml(network, REGRESSION, parameters()), episodes).values())
    for name, theirs in zip(dict(plain.named_parameters()), found, strict=True):
        layer, kind = name.split(".")
        place = plain.names.index(layer) * 2 + (kind == "bias")
        torch.testing.assert_close(ours[place].squeeze(0) if kind == "bias" else ours[place].T,
                                   theirs, rtol=1e-5, atol=1e-8)  # fmt: skip


# --- identities ------------------------------------------------------------------------------


def test_first_order_is_the_query_gradient_where_the_inner_steps_ended() -> None:
    network, episodes = small_network(), sinusoids()
    expected = {name: torch.zeros_like(w) for name, w in network.weights.items()}
    for task in range(4):
        x, y, query_x, query_y = (t[task : task + 1] for t in episodes)
        weights = {n: w.detach().clone()[None].requires_grad_() for n, w in network.weights.items()}
        for _ in range(2):
            loss = F.mse_loss(network(weights, x, Normalization())[0], y)
            found = torch.autograd.grad(loss, list(weights.values()))
            weights = {
                name: (w - 0.05 * g).detach().requires_grad_()
                for (name, w), g in zip(weights.items(), found, strict=True)
            }
        loss = F.mse_loss(network(weights, query_x, Normalization())[0], query_y) / 4
        for name, g in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            expected[name] += g[0]
    found_first = gradients(Maml(network, REGRESSION, parameters(order="first")), episodes)
    assert_same(found_first, {f"network.weights.{n}": g for n, g in expected.items()})
    second = gradients(Maml(network, REGRESSION, parameters()), episodes)
    assert not torch.allclose(second["network.weights.head_weight"], expected["head_weight"])


def test_no_inner_steps_is_joint_training() -> None:
    network, episodes = small_network(), sinusoids()
    plain = Plain(network)
    F.mse_loss(plain(episodes.query_x.flatten(0, 1)), episodes.query_y.flatten(0, 1)).backward()
    pooled = JointTrainingParameters(step_size=0.05, test_steps=3, training=TRAINING)
    for method in (
        Maml(network, REGRESSION, parameters(steps=0)),
        JointTraining(network, REGRESSION, pooled),
    ):
        assert_same(gradients(method, episodes), plain.gradients())


@pytest.mark.parametrize("tasks_at_once", [1, 3])
def test_however_many_tasks_at_once_the_meta_gradient_is_the_same(tasks_at_once: int) -> None:
    network, episodes = small_network(), sinusoids(5)
    whole = Maml(network, REGRESSION, parameters(tasks_at_once=5))
    parts = Maml(network, REGRESSION, parameters(tasks_at_once=tasks_at_once))
    assert_same(gradients(whole, episodes), gradients(parts, episodes))
    # The mean of the gradients of the tasks, each alone.
    alone = [gradients(whole, Episodes(*(t[i : i + 1] for t in episodes))) for i in range(5)]
    mean = {n: torch.stack([a[n] for a in alone]).mean(0) for n in alone[0]}
    assert_same(gradients(whole, episodes), mean)


def test_tasks_at_once_with_convolutions_and_their_running_statistics() -> None:
    torch.manual_seed(0)
    network = Conv4(1, 3, 2, inner_steps=2).double()
    x, y = torch.rand(3, 4, 1, 16, 16).double(), torch.arange(2).repeat(3, 2)
    episodes = Episodes(x, y, x.flip(1), y)
    whole = Maml(network, CLASSIFICATION, parameters(tasks_at_once=3))
    loop = Maml(network, CLASSIFICATION, parameters(tasks_at_once=1))
    assert_same(gradients(whole, episodes), gradients(loop, episodes))
    moments = whole(episodes).moments
    assert moments.shape == (3, 2, 4, 3)  # inner steps + 1, mean and variance, layers, filters
    torch.testing.assert_close(moments, loop(episodes).moments)
    assert not torch.allclose(moments[0], moments[1])


def test_learned_step_sizes_start_as_the_fixed_one() -> None:
    network, episodes = small_network(), sinusoids()
    fixed = Maml(network, REGRESSION, parameters())
    learned = Maml(network, REGRESSION, parameters(learn_step_sizes=True))
    torch.testing.assert_close(fixed(episodes).loss, learned(episodes).loss)
    found = gradients(learned, episodes)
    assert_same(
        gradients(fixed, episodes),
        {n: g for n, g in found.items() if not n.startswith("learned_sizes")},
    )
    sizes = {n: g for n, g in found.items() if n.startswith("learned_sizes")}
    assert len(sizes) == 6
    assert all(g.abs().max() > 0 for g in sizes.values())


# --- at meta-test ----------------------------------------------------------------------------


def test_adaptation_is_plain_gradient_descent_and_leaves_the_method_as_it_is() -> None:
    network, episodes = small_network(), sinusoids()
    method = Maml(network, REGRESSION, parameters())
    before = {n: p.detach().clone() for n, p in method.named_parameters()}
    adapted = method.adapt(
        episodes.support_x, episodes.support_y, episodes.query_x, steps=3, reading="query"
    )
    assert adapted.outputs.shape == (4, 4, 5, 1)
    assert not adapted.outputs.requires_grad
    for task in range(4):
        plain = Plain(network)
        optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
        for step in range(4):
            torch.testing.assert_close(adapted.outputs[step, task], plain(episodes.query_x[task]))
            optimizer.zero_grad()
            F.mse_loss(plain(episodes.support_x[task]), episodes.support_y[task]).backward()
            if step < 3:
                optimizer.step()
        torch.testing.assert_close(
            adapted.weights["head_weight"][task], plain.get_submodule("head").weight.T
        )
    assert all(torch.equal(before[n], p) for n, p in method.named_parameters())
