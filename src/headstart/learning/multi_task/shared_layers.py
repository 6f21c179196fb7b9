"""Networks that share their hidden layers h, with an output layer f_t for each task: f_t o h."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.errors import HeadstartError
from headstart.learning.multi_task.learner import Candidate, TaskLearner, TaskProblem


class SharedLayers(TaskLearner):
    """Base of the methods that share hidden layers."""

    sharing = "hidden"

    def __init__(self, problem: TaskProblem, candidates: Sequence[Candidate], seed: int):
        if not problem.parameters.hidden:
            raise HeadstartError(
                "hidden: networks without a hidden layer have none to share; give at least one "
                "width, or leave out the methods that share layers."
            )
        super().__init__(problem, candidates, seed)
