"""Typed parameters of in-context classification (`headstart.learning.text.in_context`).

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from typing import Literal

from pydantic import Field

from headstart.learning.text.prompt_parameters import PromptParameters


class InContextParameters(PromptParameters):
    """The prompt, and how label likelihoods become class probabilities.

    Attributes:
        calibrate: contextual calibration (Zhao et al. 2021); "validation": where that makes the
            negative log-likelihood on the validation rows smaller.
        content_free: texts that say nothing about the class, which calibration asks about.
        orders: random orders of the demonstrations whose probabilities are averaged.
        normalize_length: divide a label's log-likelihood by its number of tokens.
    """

    calibrate: bool | Literal["validation"] = True
    content_free: tuple[str, ...] = Field(default=("N/A", "[MASK]", ""), min_length=1)
    orders: int = Field(default=1, ge=1)
    normalize_length: bool = False
