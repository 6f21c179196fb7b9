"""Parameters of the fine-tuning stage for texts."""

from pydantic import Field

from headstart.learning.configuration import Parameters


class TextSeedParameters(Parameters):
    """How many fits there are of each trained method.

    Attributes:
        seeds: the first so many draws of labels.
        seeds_all: of all labels.
    """

    seeds: int = Field(ge=1)
    seeds_all: int = Field(ge=1)
