"""Parameters of the representation stage."""

from pydantic import Field

from headstart.learning.configuration import Parameters
from headstart.learning.pretext.parameters import ViewParameters


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


class QualityParameters(Parameters):
    """What a representation is like, apart from what it is used for.

    Attributes:
        images: development images that it is measured on, at most.
        views: two of these of one image should look alike to it.
        seed: draws the images and the views.
    """

    images: int = Field(ge=2)
    views: ViewParameters
    seed: int = Field(ge=0)


class RepresentationParameters(Parameters):
    """`representation` in `conf/base/parameters_representation.yml`.

    Attributes:
        pixels: of the encoder of that name, as are pca and imagenet.
        pca: see `PcaParameters`.
        imagenet: see `ImagenetParameters`.
        map: see `MapParameters`.
        quality: see `QualityParameters`.
    """

    pixels: PixelsParameters
    pca: PcaParameters
    imagenet: ImagenetParameters
    map: MapParameters
    quality: QualityParameters
