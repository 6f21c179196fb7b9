"""Parameters of the evaluation stage."""

from typing import Literal

from pydantic import Field

from headstart.learning.configuration import Parameters


class EvaluationParameters(Parameters):
    """`evaluation` in `conf/base/parameters_evaluation.yml`.

    Attributes:
        metric: decides the recommendation, on validation rows.
        confidence: coverage of the intervals.
        licenses: target -> terms of its data and of what was transferred, for the model card.
    """

    metric: Literal["accuracy", "macro_f1", "nll", "ece"] = "accuracy"
    confidence: float = Field(default=0.95, gt=0, lt=1)
    licenses: dict[str, str] = Field(default_factory=dict)
