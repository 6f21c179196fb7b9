"""Parameters of the evaluation stage."""

from typing import Literal

from pydantic import Field

from headstart.learning.configuration import Parameters

Metric = Literal["accuracy", "macro_f1", "nll", "ece", "auc", "rmse", "mae"]


class EvaluationParameters(Parameters):
    """`evaluation` in `conf/base/parameters_evaluation.yml`.

    Attributes:
        metric: decides the recommendation, on validation rows; on a target that it cannot score,
            such as accuracy on a regression, the first of the known ones that can takes its place.
        metric_of: the same for single targets, by name; one that does not score its target is
            refused.
        confidence: coverage of the intervals.
        licenses: target -> terms of its data and of what was transferred, for the model card.
    """

    metric: Literal["accuracy", "macro_f1", "nll", "ece"] = "accuracy"
    metric_of: dict[str, Metric] = Field(default_factory=dict)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    licenses: dict[str, str] = Field(default_factory=dict)
