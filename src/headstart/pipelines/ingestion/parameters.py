"""Parameters of the ingestion stage."""

from typing import Annotated, Literal

from pydantic import Field

from headstart.learning.configuration import Parameters


class IngestionParameters(Parameters):
    """`ingestion` in `conf/base/parameters_ingestion.yml`.

    Attributes:
        image_size: pixels a side of the stored images.
        resize: how an image becomes a square.
        chunk_size: images in memory at a time.
        max_bad_share: largest share of images that may be set aside.
        test_share: share of each class that is set apart for the test.
        split_seed: draws the test images.
    """

    image_size: int = Field(ge=8)
    resize: Literal["crop", "pad", "stretch"]
    chunk_size: int = Field(ge=1)
    max_bad_share: float = Field(ge=0, le=1)
    test_share: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0)


Shots = Annotated[int, Field(ge=1)] | Literal["all"]


class DrawParameters(Parameters):
    """`draws` in `conf/base/parameters_ingestion.yml`.

    Attributes:
        shots: labels per class, or "all".
        shots_of: the same for single targets, by name.
        seeds: how many draws of each.
        validation_share: share of the labels that are not test data that hyper-parameters
            are chosen on.
    """

    shots: list[Shots] = Field(min_length=1)
    shots_of: dict[str, list[Shots]] = Field(default_factory=dict)
    seeds: int = Field(ge=1)
    validation_share: float = Field(gt=0, lt=1)

    def of(self, target: str) -> list[int | None]:
        """The shots of a target, fewest first; None stands for all."""
        named = set(self.shots_of.get(target, self.shots))
        numbers: list[int | None] = [*sorted(n for n in named if n != "all")]
        return [*numbers, None] if "all" in named else numbers
