"""Parameters of the meta-learning stage."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headstart.experiment.tracks import SINUSOIDS
from headstart.learning.configuration import Parameters
from headstart.learning.meta_learning.parameters import (
    ClassMethods,
    Conv4Parameters,
    MetaTestParameters,
    SinusoidMethods,
    SinusoidNetworkParameters,
)

Shots = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
Range = tuple[float, float]


class PictureParameters(Parameters):
    """Sinusoids to be looked at, with what a method predicts.

    Attributes:
        episodes: of the meta-test, the first so many.
        steps: of adaptation after which the prediction is drawn.
        points: of each curve.
    """

    episodes: int = Field(ge=1)
    steps: tuple[Annotated[int, Field(ge=0)], ...]
    points: int = Field(ge=2)


class SinusoidsParameters(Parameters):
    """`meta_learning.sinusoids`.

    Attributes:
        seeds: of meta-training: 0 and on.
        shots: K, points of a task to learn from.
        queries: points that a task is tested on.
        training_queries: likewise in meta-training.
        amplitude: least and largest.
        phase: least and largest, radians.
        x: least and largest.
        episodes_at_once: tasks that are scored together, with equal results.
        diverged: mean squared error of a task above which its adaptation diverged.
        pictures: what is drawn.
        network: of all methods.
        methods: a block each.
    """

    seeds: int = Field(ge=1)
    shots: Shots
    queries: int = Field(ge=1)
    training_queries: int = Field(ge=1)
    episodes_at_once: int = Field(ge=1)
    amplitude: Range
    phase: Range
    x: Range
    diverged: float = Field(gt=0)
    pictures: PictureParameters
    network: SinusoidNetworkParameters
    methods: SinusoidMethods


class ClassesParameters(Parameters):
    """`meta_learning.classes`: families of images of many classes.

    Attributes:
        seeds: of meta-training: 0 and on.
        ways: N, classes of a task.
        shots: k, images of a class to learn from.
        queries: images of a class that a task is tested on.
        training_queries: likewise in meta-training.
        episodes_at_once: tasks that are scored together, with equal results.
        network: of all methods but nearest_centroid.
        encoder_size: pixels a side that frozen pretrained encoders are fed.
        methods: a block each.
        of: family -> the parameters of this block that it has of its own.
    """

    seeds: int = Field(ge=1)
    ways: int = Field(ge=2)
    shots: Shots
    queries: int = Field(ge=1)
    training_queries: int = Field(ge=1)
    episodes_at_once: int = Field(ge=1)
    network: Conv4Parameters
    encoder_size: int = Field(ge=8)
    methods: ClassMethods
    of: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _understood(self) -> Self:
        for family in self.of:
            self.for_family(family)
        return self

    def for_family(self, family: str) -> "ClassesParameters":
        """The block with what `of` says of a family, which names nested parameters in full.

        Args:
            family: its name.
        """
        own = self.model_dump(exclude={"of"})
        return ClassesParameters.model_validate(_joined(own, self.of.get(family, {})))


class MetaLearningParameters(Parameters):
    """`meta_learning` in `conf/base/parameters_meta_learning.yml`.

    Attributes:
        episodes: of the meta-test.
        validation_episodes: of the meta-validation.
        seed: of the meta-test episodes; those of the validation have the next.
        reading: what batch norm normalizes the queries of a new task by.
        sinusoids: the family that is made by the program itself.
        classes: all other families.
    """

    episodes: int = Field(ge=2)
    validation_episodes: int = Field(ge=2)
    seed: int = Field(ge=0)
    reading: Literal["support", "running", "query"]
    sinusoids: SinusoidsParameters
    classes: ClassesParameters

    def shots_of(self, family: str) -> tuple[int, ...]:
        """The shots of a family.

        Args:
            family: its name; `sinusoids` is the one that needs no images.
        """
        own = self.sinusoids if family == SINUSOIDS else self.classes.for_family(family)
        return own.shots

    def test(self, episodes_at_once: int, diverged: float | None = None) -> MetaTestParameters:
        """How new tasks are scored; see `MetaTestParameters`."""
        names = ("episodes", "validation_episodes", "seed", "reading")
        own = {name: getattr(self, name) for name in names}
        return MetaTestParameters(**own, episodes_at_once=episodes_at_once, diverged=diverged)


def _joined(block: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A block with some of its numbers replaced, blocks within it likewise."""
    joined = dict(block)
    for name, value in own.items():
        old = joined.get(name)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        joined[name] = _joined(old, value) if nested else value  # type: ignore[arg-type]
    return joined
