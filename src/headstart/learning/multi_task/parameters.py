"""Typed parameters of learning across tasks; free of torch."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from headstart.learning.configuration import Parameters, TrainingParameters

TaskMethod = Literal[
    "separate",
    "pooled",
    "pooled_with_task",
    "layer_sharing",
    "regularized",
    "pcgrad",
    "mgda",
    "cagrad",
    "gradnorm",
]
Relation = Literal["equal", "distance", "similarity", "matrix"]
Matrix = Mapping[str, Mapping[str, float]]  # task -> other task -> strength


class RegularizedParameters(Parameters):
    """The pairwise penalty of `regularized`, sum_{t<u} lambda_tu ||theta_t - theta_u||^2.

    Attributes:
        relation: lambda_tu is a strength times 1 / T ("equal"), exp(-d_tu / scale) / T with the
            distance d_tu of the tasks' positions ("distance"), a similarity in [0, 1] of what
            each task alone says of the training rows, over T ("similarity"), or the number in
            `matrix_of` ("matrix").
        relation_of: target -> relation, for single targets that need another.
        strengths: to choose among on the validation rows, together with `l2`.
        scale: of the distance, km.
        similarity_l2: ridge penalty of the linear models that similarity is taken from.
        matrix_of: target -> task -> other task -> number; pairs not named have 0, and a pair
            named once holds both ways.
    """

    relation: Relation = "equal"
    relation_of: Mapping[str, Relation] = Field(default_factory=dict)
    strengths: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    scale: float = Field(default=100.0, gt=0)
    similarity_l2: float = Field(default=0.1, gt=0)
    matrix_of: Mapping[str, Matrix] = Field(default_factory=dict)


class GradNormParameters(Parameters):
    """How `gradnorm` balances the tasks (Chen et al. 2018).

    Attributes:
        alpha: how strongly a task that learns more slowly is pushed, 0: all gradients alike.
        scale: the learning rate of the tasks' weights is that of the network times this.
    """

    alpha: float = Field(default=1.5, ge=0)
    scale: float = Field(default=1.0, gt=0)


class ConflictParameters(Parameters):
    """How the conflict between the tasks' gradients is measured, at each evaluation.

    Attributes:
        rows: training rows of a task that its gradient is computed on, at most.
        tasks: with more tasks only the mean over their pairs is kept, not each pair; and no pairs
            are tried out (`groupings`).
    """

    rows: int = Field(default=256, ge=1)
    tasks: int = Field(default=10, ge=2)


class TaskParameters(Parameters):
    """How networks are trained on the tasks of a table, the same for every method.

    Attributes:
        hidden: widths of the hidden layers; none: linear models.
        l2: penalties on the squared weights to choose among on the validation rows. All of them
            are trained side by side.
        training: the loop's parameters; `batch_size` counts rows of each task. `clip_norm` has to
            be null: it would scale the networks that are trained side by side together.
        weighting: of the tasks in `layer_sharing`: "equal", by "size", or by "uncertainty"
            (Kendall et al. 2018).
        regularized: the pairwise penalty.
        cagrad_c: of `cagrad`: how far from the mean gradient it may go, as a share of its length.
        gradnorm: how it balances.
        conflict: how it is measured.
    """

    hidden: tuple[Annotated[int, Field(ge=1)], ...]
    l2: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    training: TrainingParameters
    weighting: Literal["equal", "size", "uncertainty"] = "equal"
    regularized: RegularizedParameters
    cagrad_c: float = Field(default=0.5, ge=0, lt=1)
    gradnorm: GradNormParameters = GradNormParameters()
    conflict: ConflictParameters = ConflictParameters()

    @model_validator(mode="after")
    def _refuse_clipping(self) -> Self:
        if self.training.clip_norm is not None:
            raise ValueError(
                "training.clip_norm must be null here: the networks of all candidates and tasks "
                "are trained side by side, and would be scaled down together"
            )
        return self
