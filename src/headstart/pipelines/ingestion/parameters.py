"""Parameters of the ingestion stage."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

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


class TableIngestionParameters(Parameters):
    """`table_ingestion` in `conf/base/parameters_ingestion.yml`.

    Attributes:
        min_rows: fewest rows that a task needs.
        missing_share: share of missing values above which a column's being missing is a feature.
        most_categories: most different values of a column of text that is predicted from.
    """

    min_rows: int = Field(ge=3)
    missing_share: float = Field(ge=0, le=1)
    most_categories: int = Field(ge=2)


# One name alone counts as a list of one: `--params few_shot_ingestion.turned=my_letters`.
Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


class FewShotIngestionParameters(Parameters):
    """`few_shot_ingestion` in `conf/base/parameters_ingestion.yml`.

    Attributes:
        image_size: pixels a side of the stored images.
        resize: how an image becomes a square.
        gray: whether images are stored in gray, whatever they are.
        dark_on_light: families whose light and dark are exchanged.
        turned: families whose images, turned by 90, 180 and 270 degrees, are more classes.
        chunk_size: images in memory at a time.
        max_bad_share: largest share of images that may be set aside.
        min_examples: fewest images that a class needs.
        min_classes: fewest classes that each split needs.
        validation_share: share of the classes that is chosen on.
        test_share: share of the classes that is tested on.
        split_groups: families whose groups need not stay whole.
        split_seed: draws which classes these are.
    """

    image_size: int = Field(ge=8)
    resize: Literal["crop", "pad", "stretch"]
    gray: bool
    dark_on_light: Names
    turned: Names
    chunk_size: int = Field(ge=1)
    max_bad_share: float = Field(ge=0, le=1)
    min_examples: int = Field(ge=2)
    min_classes: int = Field(ge=2)
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    split_groups: Names
    split_seed: int = Field(ge=0)


Shots = Annotated[int, Field(ge=1)] | Literal["all"]


class DrawParameters(Parameters):
    """`draws` in `conf/base/parameters_ingestion.yml`.

    Attributes:
        shots: labels per class (in tables: labeled rows per task), or "all".
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
