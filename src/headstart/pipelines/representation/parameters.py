"""Parameters of the representation stage."""

from pydantic import Field

from headstart.learning.configuration import Parameters


class PixelsParameters(Parameters):
    """The image itself, made small.

    Attributes:
        size: pixels a side.
    """

    size: int = Field(ge=1)


class PcaParameters(Parameters):
    """Principal components of small source images.

    Attributes:
        size: pixels a side that images are resized to first.
        components: numbers an image is turned into.
        max_rows: source images to learn from, at most; null: all.
        seed: draws these, and fixes the solver.
    """

    size: int = Field(ge=1)
    components: int = Field(ge=1)
    max_rows: int | None = Field(ge=1)
    seed: int = Field(ge=0)


class RandomParameters(Parameters):
    """An untrained network.

    Attributes:
        architecture: a key of `headstart.learning.encoders.ARCHITECTURES`.
        image_size: pixels a side that it is fed; null: images as they are stored.
        seed: of the weights.
    """

    architecture: str
    image_size: int | None = Field(ge=1)
    seed: int = Field(ge=0)


class ImagenetParameters(Parameters):
    """A network that was trained on ImageNet.

    Attributes:
        architecture: what the weights of `pretrained.imagenet` belong to.
        image_size: pixels a side that it is fed; null: images as they are stored.
    """

    architecture: str
    image_size: int | None = Field(ge=1)


class MapParameters(Parameters):
    """The map of a representation.

    Attributes:
        max_points: images that are drawn, at most.
        perplexity: about how many neighbors a point keeps close.
        seed: draws the images, and fixes the map.
    """

    max_points: int = Field(ge=1)
    perplexity: float = Field(gt=1)
    seed: int = Field(ge=0)


class RepresentationParameters(Parameters):
    """`representation` in `conf/base/parameters_representation.yml`.

    Attributes:
        pixels: of the encoder of that name, as are pca, random and imagenet.
        pca: see `PcaParameters`.
        random: see `RandomParameters`.
        imagenet: see `ImagenetParameters`.
        map: see `MapParameters`.
    """

    pixels: PixelsParameters
    pca: PcaParameters
    random: RandomParameters
    imagenet: ImagenetParameters
    map: MapParameters
