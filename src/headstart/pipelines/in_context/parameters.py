"""Parameters of the in-context stage."""

from pydantic import Field

from headstart.learning.configuration import Parameters
from headstart.learning.text.in_context_parameters import InContextParameters


class InContextStageParameters(Parameters):
    """`in_context` in `conf/base/parameters_in_context.yml`.

    Attributes:
        most_shots: most demonstrations per class. Every number of labels up to this that the target
            is drawn with (`draws.shots`) is asked about, and always none (zero-shot).
        seeds: the first so many draws of labels.
        batch_tokens: tokens a batch, the prompt included.
        prompt: how texts and classes are written, and calibration.
    """

    most_shots: int = Field(ge=0)
    seeds: int = Field(ge=1)
    batch_tokens: int = Field(ge=1)
    prompt: InContextParameters
