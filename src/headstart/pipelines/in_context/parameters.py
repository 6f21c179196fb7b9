"""Parameters of the in-context stage."""

from typing import Annotated

from pydantic import Field

from headstart.learning.configuration import Parameters
from headstart.learning.text.in_context_parameters import InContextParameters


class InContextStageParameters(Parameters):
    """`in_context` in `conf/base/parameters_in_context.yml`.

    Attributes:
        shots: demonstrations per class; 0: none (zero-shot). Those above 0 have to stand among the
            target's `draws.shots`, whose labels they are.
        seeds: the first so many draws of labels.
        batch_tokens: tokens a batch, the prompt included.
        prompt: how texts and classes are written, and calibration.
    """

    shots: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    seeds: int = Field(ge=1)
    batch_tokens: int = Field(ge=1)
    prompt: InContextParameters
