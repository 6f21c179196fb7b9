"""Joint training: one network for all tasks, then gradient descent on the new one.

    phi* = argmin_phi  1/T sum_t L_t^query(phi)

This is MAML without inner steps, Finn et al.'s baseline of "pretraining on all of the tasks". It
cannot tell tasks apart: for sinusoids the best it can learn is their mean.
"""

from __future__ import annotations

from headstart.learning.meta_learning.maml import Maml
from headstart.learning.meta_learning.parameters import JointTrainingParameters, MamlParameters
from headstart.learning.meta_learning.problems import Problem
from headstart.learning.meta_learning.task_network import TaskNetwork


class JointTraining(Maml):
    """See the equation above.

    Args:
        network: phi.
        problem: what the tasks ask for.
        parameters: of the method; the step size is that of adaptation at meta-test.
    """

    def __init__(self, network: TaskNetwork, problem: Problem, parameters: JointTrainingParameters):
        without_steps = MamlParameters(
            steps=0,
            step_size=parameters.step_size,
            tasks_at_once=parameters.tasks_at_once,
            test_steps=parameters.test_steps,
            training=parameters.training,
        )
        super().__init__(network, problem, without_steps)
