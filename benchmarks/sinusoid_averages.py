"""Averages of 500 networks as a beginning for new sinusoids, beside MAML's published figures.

    uv run python benchmarks/sinusoid_averages.py [--steps 1000] [--seeds 3]

The comparison that Finn et al. (2017, appendix on multi-task baselines) print beside MAML: 500
networks are trained on 500 sinusoids (amplitude 0.1 to 5, phase 0 to pi, x from -5 to 5), the mean
of their parameters is fine-tuned on 5 points of a new sinusoid, and its error measured. Trained

    without a penalty | with l2 | with a pull to their mean, strength sum_t ||theta_t - mean||^2

where the pull is the pairwise penalty with lambda_tu = strength / T. There each network begins with
random weights of its own and they are trained one after the other, the pull being to the mean so
far; here all 500 are one stack, and begin either likewise or all with the same weights. Beside them
one network for all 500 sinusoids (`pooled`: "pretrain on all tasks").

Network 1-40-40-1; Adam; fresh points at each step; K = 5 points, plain gradient descent with the
step size, of `STEP_SIZES`, that is best after 10 steps on other sinusoids. One thread.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.multi_task.learner import TaskLearner, TaskProblem
from headstart.learning.multi_task.parameters import RegularizedParameters, TaskParameters
from headstart.learning.multi_task.registry import METHODS
from headstart.learning.multi_task.stacked_networks import StackedNetworks
from headstart.learning.statistics import mean_interval
from headstart.learning.training import TrainingData, train

TASKS, HIDDEN, POINTS, SHOTS, NEW = 500, (40, 40), 20, 5, 600
STEP_SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
AFTER = (0, 1, 5, 10)
L2, STRENGTH = 0.01, 0.03
PUBLISHED = {
    "published, no penalty": (4.19, 3.85, 3.69),
    "published, l2": (7.18, 5.69, 5.60),
    "published, pull to the mean": (2.91, 2.72, 2.71),
    "published, one network for all": (2.41, 2.23, 2.19),
    "published, MAML": (0.67, 0.38, 0.35),
}


@dataclass(frozen=True)
class Sinusoids:
    """y = amplitude sin(x - phase), T of them.

    Attributes:
        amplitude: shape (T,).
        phase: radians, shape (T,).
    """

    amplitude: torch.Tensor
    phase: torch.Tensor

    @classmethod
    def draw(cls, count: int, seed: int) -> Sinusoids:
        """Some at random."""
        generator = torch.Generator().manual_seed(seed)
        amplitude, phase = torch.rand(2, count, generator=generator)
        return cls(0.1 + 4.9 * amplitude, torch.pi * phase)

    def points(self, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """A batch with so many points of each."""
        x = 10 * torch.rand(count, len(self.phase), generator=generator) - 5
        return {
            "features": x[..., None],
            "targets": self.amplitude * torch.sin(x - self.phase),
            "weights": torch.ones_like(x),
        }


def trained(
    method: str, l2: float, apart: bool, steps: int, seed: int
) -> tuple[TaskLearner, float]:
    """The networks, and their error on their own sinusoids."""
    training = TrainingParameters(
        steps=steps,
        epochs=steps,
        batch_size=POINTS,
        learning_rate=2e-2,
        clip_norm=None,
        evaluations=1,
    )
    parameters = TaskParameters(
        hidden=HIDDEN,
        l2=(l2,),
        training=training,
        regularized=RegularizedParameters(strengths=(STRENGTH,)),
    )
    learner = METHODS[method](
        TaskProblem(
            inputs=1,
            outputs=1,
            regression=True,
            shares=[1 / TASKS] * TASKS,
            parameters=parameters,
            relation=torch.ones(TASKS, TASKS) / TASKS,
        ),
        [{"l2": l2, "strength": STRENGTH}],
        seed,
    )
    if apart:
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for weight, bias in zip(learner.networks.weights, learner.networks.biases, strict=True):
                for parameter in (weight, bias):
                    drawn = torch.rand(parameter.shape, generator=generator)
                    parameter.copy_((2 * drawn - 1) / weight.shape[3] ** 0.5)
    tasks = Sinusoids.draw(TASKS, seed)
    train(
        learner,
        lambda model, batch: model(batch),
        TrainingData(POINTS, lambda positions, generator: tasks.points(len(positions), generator)),
        parameters=training,
        compute=ComputeParameters(device="cpu", progress=False),
        seed=seed,
        backward=learner.backward,
        description=method,
    )
    with torch.no_grad():
        batch = tasks.points(200, torch.Generator().manual_seed(seed + 2))
        said = learner.networks(batch["features"])[0, :, :, 0].T
        return learner, float((said - batch["targets"]).square().mean())


def fine_tuned(learner: TaskLearner, tasks: Sinusoids, step_size: float, seed: int) -> np.ndarray:
    """Mean error on new sinusoids after each of `AFTER` steps from the mean of the networks."""
    count = len(tasks.phase)
    networks = StackedNetworks([1, *HIDDEN, 1], candidates=1, tasks=count, shared=0, seed=0)
    with torch.no_grad():
        for own, layer in zip(
            zip(networks.weights, networks.biases, strict=True),
            learner.networks.unfold(),
            strict=True,
        ):
            for parameter, part in zip(own, layer, strict=True):
                parameter.copy_(part.mean(dim=1, keepdim=True).expand_as(parameter))
    generator = torch.Generator().manual_seed(seed)
    few, many = tasks.points(SHOTS, generator), tasks.points(100, generator)
    errors = []
    for step in range(AFTER[-1] + 1):
        if step in AFTER:
            with torch.no_grad():
                said = networks(many["features"])[0, :, :, 0].T
                errors.append(float((said - many["targets"]).square().mean()))
        loss = (networks(few["features"])[0, :, :, 0].T - few["targets"]).square().mean(dim=0)
        gradients = torch.autograd.grad(loss.sum(), list(networks.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(networks.parameters(), gradients, strict=True):
                parameter.sub_(step_size * gradient)
    return np.array(errors)


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--steps", type=int, default=1000)
    asked.add_argument("--seeds", type=int, default=3)
    options = asked.parse_args()
    torch.set_num_threads(1)
    print("| 500 networks | own error | step size | at once | 1 step | 5 steps | 10 steps |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for begin, apart in (("own beginnings", True), ("one beginning", False)):
        for name, method, l2 in (
            ("no penalty", "separate", 0.0),
            ("l2", "separate", L2),
            ("pull to the mean", "regularized", 0.0),
            ("one network for all", "pooled", 0.0),
        ):
            if method == "pooled" and apart:
                continue  # it has one beginning only
            rows, own, sizes = [], [], set()
            for seed in range(options.seeds):
                learner, error = trained(method, l2, apart, options.steps, 100 * seed)
                tuning = Sinusoids.draw(NEW, 100 * seed + 10)
                tried = {
                    size: fine_tuned(learner, tuning, size, 100 * seed + 11)[-1]
                    for size in STEP_SIZES
                }
                finite = {size: e for size, e in tried.items() if np.isfinite(e)}
                size = min(finite, key=finite.__getitem__)
                new = Sinusoids.draw(NEW, 100 * seed + 20)
                rows.append(fine_tuned(learner, new, size, 100 * seed + 21))
                own.append(error)
                sizes.add(size)
            cells = []
            for column in np.array(rows).T:
                found = mean_interval(column)
                cells.append(f"{found.mean:.2f} ± {found.high - found.mean:.2f}")
            shown = ", ".join(f"{size:g}" for size in sorted(sizes))
            print(
                f"| {begin}, {name} | {np.mean(own):.3f} | {shown} | {' | '.join(cells)} |",
                flush=True,
            )
    for name, figures in PUBLISHED.items():
        print(f"| {name} | | | | {' | '.join(f'{figure:.2f}' for figure in figures)} |")


if __name__ == "__main__":
    main()
