"""Parameters of the fine-tuning stage for texts."""

from typing import Annotated

from pydantic import Field

from headstart.learning.configuration import Parameters
from headstart.learning.text.parameters import (
    CostParameters,
    LoraParameters,
    TextAdaptationParameters,
)


class TextSeedParameters(Parameters):
    """How many fits there are of each trained method.

    Attributes:
        seeds: the first so many draws of labels.
        seeds_all: of all labels.
    """

    seeds: int = Field(ge=1)
    seeds_all: int = Field(ge=1)


class TextFineTuningParameters(Parameters):
    """`text_fine_tuning` in `conf/base/parameters_fine_tuning.yml`.

    Attributes:
        draws: how many fits there are.
        fine_tune: how all weights are trained; from_scratch, lora and bitfit likewise.
        adapters: of `lora`.
        costs: what the table of what LoRA saves counts and measures.
        ranks: with each of these a fit of `lora` for each draw, to see what the rank does.
        rank_shots: labels per class of these fits; where `draws.shots` has not this number for a
            target, the largest below it is taken.
    """

    draws: TextSeedParameters
    fine_tune: TextAdaptationParameters
    from_scratch: TextAdaptationParameters
    lora: TextAdaptationParameters
    bitfit: TextAdaptationParameters
    adapters: LoraParameters
    costs: CostParameters
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    rank_shots: int = Field(ge=1)
