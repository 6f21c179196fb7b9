"""A second-order MAML step: ours against higher, torchopt and, where it is installed, learn2learn.

    uv run python benchmarks/maml_step.py

A step is the gradient of the mean query loss of a meta-batch with respect to the initialization.
Same weights, same episodes, one thread, one process, all in turns; processor time. The peers go
through the tasks in a loop, as their examples do. Before it is timed, each has to give the gradient
that a plain loop over autograd gives. learn2learn has no build for Python 3.11 and later.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headstart.learning.configuration import TrainingParameters
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.maml import Maml
from headstart.learning.meta_learning.meta_training import compiled_objective, meta_objective
from headstart.learning.meta_learning.parameters import MamlParameters
from headstart.learning.meta_learning.problems import CLASSIFICATION, REGRESSION, Problem
from headstart.learning.meta_learning.sinusoid_network import SinusoidNetwork
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.learning.meta_learning.task_network import TaskNetwork

ROUNDS, WAYS, SIDE = 7, 5, 28
Step = Callable[[], list[torch.Tensor]]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """What is computed.

    Attributes:
        name: for the table.
        plain: the network in torch's layers.
        network: ours, with the same weights, as listed by `same`.
        same: from our weights' names to what they are in the plain network.
        episodes: a meta-batch.
        problem: what the tasks ask for.
        steps: inner ones.
        step_size: of these.
        tasks_at_once: of ours.
        compiled: whether ours is timed compiled, too.
    """

    name: str
    plain: nn.Module
    network: TaskNetwork
    same: dict[str, Callable[[], torch.Tensor]]
    episodes: Episodes
    problem: Problem
    steps: int
    step_size: float
    tasks_at_once: int
    compiled: bool

    @property
    def loss(self) -> Loss:
        """Of one task."""
        return F.mse_loss if self.problem is REGRESSION else F.cross_entropy


def sinusoid_case() -> Case:
    """The published sinusoid experiment, K = 10."""
    network = SinusoidNetwork()
    layers = [nn.Linear(a, b) for a, b in pairwise((1, 40, 40, 1))]
    plain = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    same: dict[str, Callable[[], torch.Tensor]] = {}
    for name, layer in zip(("hidden_0", "hidden_1", "head"), layers, strict=True):
        same[f"{name}_weight"] = lambda p=layer.weight: p.T
        same[f"{name}_bias"] = lambda p=layer.bias: p[None]
    return Case(
        **{"name": "sinusoids, 25 tasks, K = 10", "plain": plain, "network": network},
        **{"same": same, "episodes": Sinusoids(10, 10).episodes(0, range(25))},
        **{"problem": REGRESSION, "steps": 1, "step_size": 0.01, "tasks_at_once": 25},
        compiled=True,
    )


class PlainConv4(nn.Module):
    """Conv-4 in torch's layers."""

    def __init__(self, filters: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(c, filters, 3, padding=1, bias=False) for c in (1, *[filters] * 3)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(filters, track_running_stats=False) for _ in range(4)
        )
        self.head = nn.Linear(filters, WAYS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(convolution(x))), 2)
        return self.head(x.mean((2, 3)))


def conv4_case(filters: int, tasks: int, queries: int, steps: int, tasks_at_once: int) -> Case:
    """5-way 1-shot episodes of 28 x 28 pixels, noise: what is drawn costs the same."""
    plain = PlainConv4(filters)
    same: dict[str, Callable[[], torch.Tensor]] = {}
    for i in range(4):
        same[f"kernel_{i}"] = lambda p=plain.convolutions[i].weight: p
        same[f"scale_{i}"] = lambda p=plain.norms[i].weight: p
        same[f"shift_{i}"] = lambda p=plain.norms[i].bias: p
    same["head_weight"] = lambda p=plain.head.weight: p
    same["head_bias"] = lambda p=plain.head.bias: p
    x = torch.rand(tasks, WAYS * (1 + queries), 1, SIDE, SIDE)
    y = torch.arange(WAYS).repeat(tasks, 1 + queries)
    name = f"Conv-4, {filters} filters, {tasks} tasks, {queries} queries, {steps} inner steps"
    return Case(
        **{"name": name, "plain": plain, "network": Conv4(1, filters, WAYS, steps), "same": same},
        episodes=Episodes(x[:, :WAYS], y[:, :WAYS], x[:, WAYS:], y[:, WAYS:]),
        **{"problem": CLASSIFICATION, "steps": steps, "step_size": 0.4},
        **{"tasks_at_once": tasks_at_once, "compiled": False},
    )


def ours(case: Case, compiled: bool) -> Step:
    """The project's own step, as the training loop calls it."""
    parameters = MamlParameters(
        **{"steps": case.steps, "step_size": case.step_size, "test_steps": case.steps},
        tasks_at_once=case.tasks_at_once,
        training=TrainingParameters(steps=1, epochs=1, batch_size=1, learning_rate=0.001),
    )
    method = Maml(case.network, case.problem, parameters)
    objective = compiled_objective(method) if compiled else meta_objective

    def step() -> list[torch.Tensor]:
        loss, _ = objective(method, case.episodes)
        loss.backward()
        return collected(list(case.network.weights.values()))

    return step


def of_learn2learn(case: Case) -> Step:
    """`learn2learn.algorithms.MAML`."""
    import learn2learn

    maml = learn2learn.algorithms.MAML(case.plain, lr=case.step_size, first_order=False)

    def task(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        learner = maml.clone()
        for _ in range(case.steps):
            learner.adapt(case.loss(learner(x), y))
        return learner  # type: ignore[no-any-return]

    return looped(case, task)


def of_higher(case: Case) -> Step:
    """`higher.innerloop_ctx`."""
    import higher

    optimizer = torch.optim.SGD(case.plain.parameters(), lr=case.step_size)

    def task(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        with higher.innerloop_ctx(case.plain, optimizer, copy_initial_weights=False) as (f, inner):
            for _ in range(case.steps):
                inner.step(case.loss(f(x), y))
        return f  # type: ignore[no-any-return]

    return looped(case, task)


def of_torchopt(case: Case) -> Step:
    """`torchopt.MetaSGD`."""
    import torchopt

    inner = torchopt.MetaSGD(case.plain, lr=case.step_size)
    start = [torchopt.extract_state_dict(part) for part in (case.plain, inner)]

    # The plain network is what is adapted: parameters are kept beside, to be put back.
    parameters = list(case.plain.parameters())

    def step() -> list[torch.Tensor]:
        total = torch.zeros(())
        for x, y, query_x, query_y in zip(*case.episodes, strict=True):
            for _ in range(case.steps):
                inner.step(case.loss(case.plain(x), y))
            total = total + case.loss(case.plain(query_x), query_y)
            for part, state in zip((case.plain, inner), start, strict=True):
                torchopt.recover_state_dict(part, state)
        (total / len(case.episodes.support_x)).backward()
        return collected(parameters)

    return step


def looped(case: Case, task: Callable[..., Callable[[torch.Tensor], torch.Tensor]]) -> Step:
    """The outer gradient of a method that gives an adapted network for each task."""

    def step() -> list[torch.Tensor]:
        total = torch.zeros(())
        for x, y, query_x, query_y in zip(*case.episodes, strict=True):
            total = total + case.loss(task(x, y)(query_x), query_y)
        (total / len(case.episodes.support_x)).backward()
        return collected(list(case.plain.parameters()))

    return step


def plain_loop(case: Case) -> Step:
    """Written out over autograd: what the others have to agree with."""

    def task(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        weights = dict(case.plain.named_parameters())
        for _ in range(case.steps):
            loss = case.loss(torch.func.functional_call(case.plain, weights, (x,)), y)
            found = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            pairs = zip(weights.items(), found, strict=True)
            weights = {name: w - case.step_size * g for (name, w), g in pairs}
        return lambda query: torch.func.functional_call(case.plain, weights, (query,))

    return looped(case, task)


def collected(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """The gradients, taken away."""
    found = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    return [g for g in found if g is not None]


def norm(gradients: list[torch.Tensor]) -> float:
    """Of all gradients together: the same whatever their order and layout."""
    return float(torch.stack([g.double().square().sum() for g in gradients]).sum().sqrt())


def seconds(step: Step) -> float:
    """Processor time of a step, over about a third of a second."""
    started, count = time.process_time(), 0
    while count == 0 or time.process_time() - started < 0.3:
        step()
        count += 1
    return (time.process_time() - started) / count


def compare(case: Case) -> None:
    """Print milliseconds and ratios of one case."""
    with torch.no_grad():
        for name, weight in case.network.weights.items():
            if name == "hidden_1_weight":  # of deviation 0.01 there is next to no gradient
                weight.mul_(20)
            case.same[name]().copy_(weight)
    steps: dict[str, Step] = {"ours": ours(case, compiled=False)}
    if case.compiled:
        steps["ours, compiled"] = ours(case, compiled=True)
    peers = {"higher": of_higher, "torchopt": of_torchopt, "learn2learn": of_learn2learn}
    present = {n: make(case) for n, make in peers.items() if importlib.util.find_spec(n)}
    expected = norm(plain_loop(case)())
    for name, step in {**steps, **present}.items():
        off = abs(norm(step()) / expected - 1)
        assert off < 2e-3, f"{name}: another gradient, {off:.1e} off"
    times: dict[str, list[float]] = {name: [] for name in [*steps, *present]}
    for _ in range(ROUNDS):
        for name, step in {**steps, **present}.items():
            times[name].append(seconds(step))
    print(case.name)
    for name in steps:
        print(f"  {name}: {1e3 * statistics.median(times[name]):.2f} ms")
        for peer in present:
            pairs = zip(times[peer], times[name], strict=True)
            ratios = sorted(theirs / own for theirs, own in pairs)
            print(
                f"    {peer} {1e3 * statistics.median(times[peer]):.2f} ms; ratio "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    sys.stdout.flush()


def main() -> None:
    """Print all cases."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases: list[Any] = [
        sinusoid_case(),
        conv4_case(filters=32, tasks=16, queries=1, steps=1, tasks_at_once=4),
        conv4_case(filters=64, tasks=4, queries=15, steps=1, tasks_at_once=1),
        conv4_case(filters=64, tasks=4, queries=15, steps=5, tasks_at_once=1),
    ]
    for case in cases:
        compare(case)


if __name__ == "__main__":
    main()
