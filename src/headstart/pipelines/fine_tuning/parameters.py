"""Parameters of the fine-tuning stage."""

from typing import Annotated

from pydantic import Field

from headstart.learning.configuration import AdaptationParameters, Parameters


class FineTuningParameters(Parameters):
    """`fine_tuning` in `conf/base/parameters_fine_tuning.yml`.

    Attributes:
        seeds: how many of the draws, the first ones, are trained on at each number of shots.
        seeds_of: single encoders that another number counts for.
        seeds_all: the same at all labels.
        fine_tune: how a pretrained network is trained.
        from_scratch: how the same network with random weights is trained.
    """

    seeds: int = Field(ge=1)
    seeds_of: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    seeds_all: int = Field(ge=1)
    fine_tune: AdaptationParameters
    from_scratch: AdaptationParameters
