"""Learning many tasks at once: stacked networks against loops, surgery against torchjd's.

    uv run python benchmarks/multi_task_stack.py

First T separate networks (16 inputs, 32 hidden units, 32 rows each) with a penalty on every pair,
one AdamW step: ours as one stack with the penalty as a quadratic form, the peer T modules one after
the other and the penalty as the written-out double sum. Then shared layers with PCGrad, one step:
ours, and torchjd's `mtl_backward` and `PCGrad`. Losses are checked to agree. One thread, the two in
turns; processor time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from augmentation import seconds
from torch import nn

from headstart.learning.configuration import TrainingParameters
from headstart.learning.multi_task.learner import TaskLearner, TaskProblem
from headstart.learning.multi_task.parameters import RegularizedParameters, TaskParameters
from headstart.learning.multi_task.registry import METHODS

INPUTS, HIDDEN, ROWS, ROUNDS, STRENGTH = 16, 32, 32, 5, 0.1
Batch = dict[str, torch.Tensor]


def learner(method: str, tasks: int) -> TaskLearner:
    """Ours: one candidate."""
    training = TrainingParameters(
        steps=1, epochs=1, batch_size=ROWS, learning_rate=1e-3, clip_norm=None
    )
    parameters = TaskParameters(
        hidden=(HIDDEN,),
        l2=(0.0,),
        training=training,
        regularized=RegularizedParameters(strengths=(STRENGTH,)),
    )
    made = METHODS[method](
        TaskProblem(
            inputs=INPUTS,
            outputs=1,
            regression=True,
            shares=[1 / tasks] * tasks,
            parameters=parameters,
            relation=torch.ones(tasks, tasks),
        ),
        [{"l2": 0.0, "strength": STRENGTH}],
        seed=0,
    )
    with torch.no_grad():  # networks that differ, as in the middle of a training
        for parameter in made.networks.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def modules(made: TaskLearner) -> list[nn.Sequential]:
    """The same networks one by one; what is shared is one module in all of them."""
    layers = made.networks.unfold()
    linear: list[list[nn.Linear]] = []
    for i, (weight, bias) in enumerate(layers):
        own = []
        for t in range(1 if i < made.networks.shared else made.networks.tasks):
            layer = nn.Linear(weight.shape[3], weight.shape[2])
            layer.weight = nn.Parameter(weight[0, t].detach().clone())
            layer.bias = nn.Parameter(bias[0, t].detach().clone())
            own.append(layer)
        linear.append(own)
    return [
        nn.Sequential(linear[0][t % len(linear[0])], nn.ReLU(), linear[1][t])
        for t in range(made.networks.tasks)
    ]


def ours(made: TaskLearner, batch: Batch) -> Callable[[], float]:
    """One step of the stack."""
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-3, fused=True)

    def once() -> float:
        loss = made(batch)
        made.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach().mean())

    return once


def loops(networks: list[nn.Sequential], batch: Batch) -> Callable[[], float]:
    """One step of networks one by one, with the double sum."""
    own = [list(network.parameters()) for network in networks]
    optimizer = torch.optim.AdamW([p for part in own for p in part], lr=1e-3, fused=True)

    def once() -> float:
        loss = torch.zeros(())
        for t, network in enumerate(networks):
            said = network(batch["features"][:, t])[:, 0]
            loss = loss + (said - batch["targets"][:, t]).square().mean()
        for t in range(len(networks)):
            for u in range(t + 1, len(networks)):
                for one, other in zip(own[t], own[u], strict=True):
                    loss = loss + STRENGTH * (one - other).square().sum()
        loss = loss / len(networks)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return once


def torchjds(networks: list[nn.Sequential], batch: Batch) -> Callable[[], float]:
    """One step of shared layers with torchjd's PCGrad."""
    from torchjd.aggregation import PCGrad
    from torchjd.autojac import jac_to_grad, mtl_backward

    shared, aggregator = networks[0][0], PCGrad()
    heads = [network[2] for network in networks]
    parameters = [*shared.parameters(), *(p for head in heads for p in head.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)

    def once() -> float:
        tasks = len(heads)
        # The rows of all tasks go through the shared layer at once, as one would write it.
        features = shared(batch["features"].transpose(0, 1)).relu()
        losses = [
            (head(features[t])[:, 0] - batch["targets"][:, t]).square().mean()
            for t, head in enumerate(heads)
        ]
        mtl_backward(losses, features=features)
        jac_to_grad(shared.parameters(), aggregator)
        optimizer.step()
        optimizer.zero_grad()
        return float(torch.stack(losses).detach().sum()) / tasks

    return once


def compare(name: str, one: Callable[[], float], other: Callable[[], float]) -> None:
    """Print a row of the table."""
    first, second = one(), other()
    assert abs(first - second) < 1e-4 * abs(first), (first, second)
    calls = 20 if seconds(other) < 0.05 else 1
    pairs = [(seconds(one, max(20, calls)), seconds(other, calls)) for _ in range(ROUNDS)]
    ratios = sorted(b / a for a, b in pairs)
    mine, theirs = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"| {name} | {mine:.2f} | {theirs:.1f} | {statistics.median(ratios):.1f} "
        f"({ratios[0]:.1f} to {ratios[-1]:.1f}) |",
        flush=True,
    )


def main() -> None:
    """Print a table, one line a job and number of tasks."""
    torch.set_num_threads(1)
    print("| one step | ours, ms | peer, ms | peer / ours |")
    print("| --- | --- | --- | --- |")
    for method, peer, name in (
        ("regularized", loops, "pairwise penalty, against loops"),
        ("pcgrad", torchjds, "layer sharing with PCGrad, against torchjd"),
    ):
        for tasks in (3, 20, 200):
            torch.manual_seed(0)
            made = learner(method, tasks)
            batch = {
                "features": torch.randn(ROWS, tasks, INPUTS),
                "targets": torch.randn(ROWS, tasks),
                "weights": torch.ones(ROWS, tasks),
            }
            compare(f"{name}, T = {tasks}", ours(made, batch), peer(modules(made), batch))


if __name__ == "__main__":
    main()
