"""Typed parameters of what language models learn before they are used on a target.

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from pydantic import Field

from headstart.learning.configuration import Parameters, TrainingParameters
from headstart.learning.text.post_training_parameters import PostTrainingParameters


class TextPretrainingParameters(Parameters):
    """How a language model learns from texts without labels.

    Attributes:
        training: the loop's parameters; an example is a block.
        block: tokens a block.
        held_out_share: of the documents, kept for the held-out loss; at least one document.
        masked_share: of a block's tokens, those that `masked_language` has to fill in.
        seed: of the held-out documents, the masks, a new head and the loop.
    """

    training: TrainingParameters
    block: int = Field(default=128, ge=8)
    held_out_share: float = Field(default=0.1, gt=0, lt=1)
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class TextPretrainingTasks(Parameters):
    """`text_pretraining` in `conf/base/parameters_pretraining.yml`.

    Attributes:
        masked_language: how an encoder reads on.
        next_word: how a causal model does.
        post_training: how a causal model learns to answer.
    """

    masked_language: TextPretrainingParameters
    next_word: TextPretrainingParameters
    post_training: PostTrainingParameters
