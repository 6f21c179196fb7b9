"""Typed parameters of post-training (`headstart.learning.text.post_training`).

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from pydantic import Field

from headstart.learning.configuration import Parameters, TrainingParameters
from headstart.learning.text.parameters import LoraParameters
from headstart.learning.text.prompt_parameters import PromptParameters


class PostTrainingParameters(Parameters):
    """How a causal model learns to answer from labeled texts of a source task.

    Attributes:
        source: name of the source task.
        prompt: how a text becomes a question, and its class the answer.
        training: the loop's parameters; an example is a question with its answer.
        adapters: of LoRA, merged into the weights in the end; None: all weights are trained.
        held_out_share: of the texts, kept for the held-out loss; at least one.
        seed: of the held-out texts, A of the adapters, and the loop.
    """

    source: str = Field(min_length=1)
    prompt: PromptParameters = PromptParameters()
    training: TrainingParameters
    adapters: LoraParameters | None = None
    held_out_share: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
