"""Reptile (Nichol, Achiam and Schulman 2018): move towards where training on a task leads.

    g = 1/T sum_t (phi - theta_t) / (alpha n),     theta_t = n inner steps from phi on task t

g takes the place of a gradient in the outer optimizer (their section 3). An inner step takes the
next `examples` examples of the task, support and query set together, and starts over when they
are used up: with several steps on different examples g holds the second-order term that makes
gradients of different examples agree (their section 5.1), without any second derivative.
"""

from __future__ import annotations

import torch

from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.gradient_adaptation import GradientAdaptation
from headstart.learning.meta_learning.inner_loop import gradient_step
from headstart.learning.meta_learning.method import TaskLosses
from headstart.learning.meta_learning.parameters import ReptileParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork


class Reptile(GradientAdaptation):
    """See the equation above.

    Args:
        network: phi.
        problem: what the tasks ask for.
        parameters: n, alpha and the examples a step.
    """

    def __init__(self, network: TaskNetwork, problem: Problem, parameters: ReptileParameters):
        super().__init__(network, problem, parameters.tasks_at_once, parameters.step_size)
        self.steps = parameters.steps
        self.examples = parameters.examples

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """Losses after the inner steps, on the last examples; their gradient is made to be g."""
        x = torch.cat([episodes.support_x, episodes.query_x], dim=1)
        y = torch.cat([episodes.support_y, episodes.query_y], dim=1)
        count = x.shape[1]
        start = self.network.stacked(len(x))
        weights, seen = start, []
        for step in range(self.steps):
            rows = torch.arange(step * self.examples, (step + 1) * self.examples) % count
            loss = self.support_loss(x[:, rows], y[:, rows])
            weights, losses, moments = gradient_step(loss, weights, self.step_size, "first")
            seen.append(moments)
        with torch.no_grad():
            # Scored on the queries, although these were learned from: the course of a training.
            outputs, moments = self.network(weights, episodes.query_x, Normalization(self.steps))
            scores = self.problem.score(outputs, episodes.query_y)
        inner = sum(
            (
                (start[name] * (start[name] - weights[name]).detach()).flatten(1).sum(1)
                for name in start
            ),
            start=torch.zeros_like(losses),
        ) / (self.step_size * self.steps)
        return TaskLosses(
            losses.detach() + inner - inner.detach(),  # the value of one, the gradient of another
            scores,
            torch.stack([*seen, moments]),
        )
