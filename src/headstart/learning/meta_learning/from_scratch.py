"""From scratch: the same network from random weights on, trained on the support set alone.

    theta_t = n steps of gradient descent on L_t^support from random weights

The baseline that says what all the other tasks were good for.
"""

from __future__ import annotations

from typing import ClassVar

from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.gradient_adaptation import GradientAdaptation
from headstart.learning.meta_learning.method import TaskLosses
from headstart.learning.meta_learning.parameters import FromScratchParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import TaskNetwork


class FromScratch(GradientAdaptation):
    """See the equation above.

    Args:
        network: its initial weights are where each task starts.
        problem: what the tasks ask for.
        parameters: of the descent.
    """

    meta_trained: ClassVar[bool] = False

    def __init__(self, network: TaskNetwork, problem: Problem, parameters: FromScratchParameters):
        super().__init__(network, problem, parameters.tasks_at_once, parameters.step_size)

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """There is nothing to meta-train."""
        raise NotImplementedError("from_scratch is not meta-trained")
