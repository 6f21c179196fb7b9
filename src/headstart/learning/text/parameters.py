"""Typed parameters of texts; free of torch."""

from typing import Annotated, Literal

from pydantic import Field

from headstart.learning.configuration import Parameters, TrainingParameters


class LoraParameters(Parameters):
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        rank: r of the update B A.
        alpha: the update is multiplied by alpha / r (with rsLoRA by alpha / sqrt(r)).
        targets: names of the linear layers that are adapted, or their last parts; "all-linear".
        dropout: of what goes into A.
        variant: "lora"; "rslora" (Kalajdzievski 2023); "dora", magnitude and direction apart (Liu
            et al. 2024); "pissa", A and B from the principal part of W (Meng et al. 2024).
        layers: only the last so many layers of the model are adapted; None: all.
    """

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    targets: list[str] | Literal["all-linear"] = Field(min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    variant: Literal["lora", "rslora", "dora", "pissa"] = "lora"
    layers: int | None = Field(default=None, ge=1)


class TextAdaptationParameters(Parameters):
    """How a language model is trained on a target.

    Attributes:
        training: the loop's parameters.
        most_tokens: the rest of a longer text is not read.
        pooling: how the states of a text's tokens are joined.
        head_initialization: of the classification layer: "zeros", "random", or "linear_probe",
            the probe on the frozen representation (Kumar et al. 2022).
        head_strengths: penalties that this probe chooses among on the validation rows.
        group_by_length: so many random batches at a time are told apart by length, so that less
            is padded; None: batches stay as they were drawn.
        keep_frozen: what the layers below the lowest that is trained make of a text is computed
            once and kept in memory, 4 D bytes a token (`headstart.learning.text.frozen_layers`).
    """

    training: TrainingParameters
    most_tokens: int = Field(ge=2)
    pooling: Literal["mean", "first", "last"] = "mean"
    head_initialization: Literal["zeros", "random", "linear_probe"] = "random"
    head_strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0,), min_length=1)
    group_by_length: int | None = Field(default=None, ge=2)
    keep_frozen: bool = True


class CostParameters(Parameters):
    """What the table of costs counts and measures (`headstart.learning.text.lora_costs`).

    Attributes:
        ranks: of LoRA that are counted; that of the adapters is counted, too.
        measured: which are measured, a training step in a process of its own: "each", with all
            ranks; "configured", with the adapters' own rank alone; "none".
        batch_size: texts of that step.
        tokens: of each of them.
    """

    ranks: tuple[Annotated[int, Field(ge=1)], ...]
    measured: Literal["each", "configured", "none"] = "each"
    batch_size: int = Field(ge=1)
    tokens: int = Field(ge=2)
