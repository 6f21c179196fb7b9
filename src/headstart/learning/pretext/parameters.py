"""Typed parameters of self-supervised pretraining, a block a pretext task.

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from typing import Annotated

from pydantic import Field, model_validator

from headstart.learning.configuration import Parameters, TrainingParameters

Share = Annotated[float, Field(ge=0, le=1)]


class NetworkParameters(Parameters):
    """The encoder that every pretext task trains, so that their representations can be compared.

    Attributes:
        architecture: a network among `headstart.learning.networks.NETWORKS`.
        image_size: pixels a side that it is fed when it is used; null: images as stored.
        seed: of its initial weights, the same for all tasks and for `random`.
    """

    architecture: str
    image_size: int | None = Field(ge=8)
    seed: int = Field(ge=0)


class ViewParameters(Parameters):
    """Random views of an image (Chen et al. 2020, appendix A).

    Attributes:
        smallest_crop: share of the image's area that a crop has, at least.
        largest_ratio: of a crop's width to its height, at most; its inverse is the least.
        horizontal_flip: probability.
        vertical_flip: probability.
        jitter: probability that brightness, contrast, saturation and hue are changed.
        brightness: factor is drawn from 1 ± this; contrast and saturation likewise.
        contrast: see brightness.
        saturation: see brightness.
        hue: shift, as a share of the color circle, is drawn from ± this.
        grayscale: probability that colors are taken away.
        blur: probability that the view is blurred.
        blur_sigma: least and largest standard deviation of the Gaussian, in pixels.
    """

    smallest_crop: float = Field(default=0.2, gt=0, le=1)
    largest_ratio: float = Field(default=4 / 3, ge=1)
    horizontal_flip: Share = 0.5
    vertical_flip: Share = 0.0
    jitter: Share = 0.8
    brightness: float = Field(default=0.4, ge=0, le=1)
    contrast: float = Field(default=0.4, ge=0, le=1)
    saturation: float = Field(default=0.4, ge=0, le=1)
    hue: float = Field(default=0.1, ge=0, le=0.5)
    grayscale: Share = 0.2
    blur: Share = 0.0
    blur_sigma: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.1, 2.0)

    @model_validator(mode="after")
    def _in_order(self) -> "ViewParameters":
        if self.blur_sigma[0] > self.blur_sigma[1]:
            raise ValueError("blur_sigma: the first number has to be the smaller one")
        return self


class PretextParameters(Parameters):
    """What all pretext tasks have.

    Attributes:
        image_size: pixels a side that the network is trained at; null: `network.image_size`.
        training: the loop's parameters.
        seed: of the order, the pseudo-labels and the head's initial weights.
    """

    image_size: int | None = Field(default=None, ge=8)
    training: TrainingParameters
    seed: int = Field(default=0, ge=0)


class RotationParameters(PretextParameters):
    """`pretraining.rotation` (Gidaris et al. 2018).

    Attributes:
        views: how an image is varied before it is turned.
    """

    views: ViewParameters


class JigsawParameters(PretextParameters):
    """`pretraining.jigsaw` (Noroozi and Favaro 2016).

    Attributes:
        permutations: how many of the 9! orders of the tiles are told apart.
        gap: between neighboring tiles, at least, as a share of a cell's side (a cell is a third
            of the image's); the tile moves at random within the room that the gap leaves.
        hidden: units of the layer that joins the nine tiles.
        views: how an image is varied before it is cut, null: not at all. A crop that is resized
            moves the grid of 8 x 8 pixels that JPEG leaves, by which tiles give their place away.
    """

    permutations: int = Field(ge=2, le=1000)
    gap: float = Field(ge=0, lt=0.5)
    hidden: int = Field(ge=1)
    views: ViewParameters | None = None


class ColorizationParameters(PretextParameters):
    """`pretraining.colorization` (Zhang et al. 2016).

    Attributes:
        bin_size: side of a quantized bin of the ab plane, in CIELAB units.
        neighbors: bins that a color is spread over (soft encoding).
        sigma: of the Gaussian that weighs these, in CIELAB units; the prior is smoothed by it, too.
        uniform_share: lambda, how far rare colors are raised: 0 not at all, 1 as often as all.
        temperature: of the annealed mean that turns bins into a color again.
        upsampling: predictions a side for each position of the feature map.
        prior_images: source images that the prior is counted over, at most.
        least_chroma: mean chroma of the source below which there is no color to learn, in
            CIELAB units.
    """

    bin_size: float = Field(gt=0)
    neighbors: int = Field(ge=1)
    sigma: float = Field(gt=0)
    uniform_share: float = Field(ge=0, le=1)
    temperature: float = Field(gt=0, le=1)
    upsampling: int = Field(ge=1)
    prior_images: int = Field(ge=1)
    least_chroma: float = Field(ge=0)


class InpaintingParameters(PretextParameters):
    """`pretraining.inpainting` (He et al. 2022).

    Attributes:
        patch: pixels a side of a patch; for a ViT it has to be that of the network.
        masked_share: share of the patches that is hidden.
        normalize: predict each patch with its mean and standard deviation taken out.
        decoder_width: channels of the decoder; it is thrown away afterwards.
        decoder_depth: its blocks.
    """

    patch: int = Field(ge=1)
    masked_share: float = Field(gt=0, lt=1)
    normalize: bool
    decoder_width: int = Field(ge=1)
    decoder_depth: int = Field(ge=1)


class ContrastiveParameters(PretextParameters):
    """`pretraining.contrastive` (SimCLR; Chen et al. 2020).

    Attributes:
        temperature: tau, similarities are divided by it.
        projection: outputs of the projection head, which is thrown away afterwards.
        hidden: units of its hidden layer.
        views: how the two views of an image are drawn.
    """

    temperature: float = Field(gt=0)
    projection: int = Field(ge=1)
    hidden: int = Field(ge=1)
    views: ViewParameters


class SupervisedParameters(PretextParameters):
    """`pretraining.supervised`: the source's own labels, where it has any.

    Attributes:
        views: how an image is varied.
    """

    views: ViewParameters


class HeldOutParameters(Parameters):
    """Source images that no encoder learns from: the pretext tasks are scored on them.

    Attributes:
        share: of the source's images.
        most: images, at most.
        batch_size: images a batch; `contrastive` tells an image from the others of its batch.
        examples: of them, pictures of which stand in the report.
        seed: draws them.
    """

    share: float = Field(gt=0, lt=1)
    most: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    examples: int = Field(ge=0)
    seed: int = Field(ge=0)


class PretrainingParameters(Parameters):
    """`pretraining` in `conf/base/parameters_pretraining.yml`.

    Attributes:
        network: what every task trains.
        held_out: what every task is scored on.
        batch_norm_rows: images that batch norm's statistics are computed over after the training,
            at most.
        sources: task -> the source that it learns from, for those that do not learn from the
            target's own: the catalog entry `<source>.source`.
        rotation: of the task of that name, as are the others.
        jigsaw: see `JigsawParameters`.
        colorization: see `ColorizationParameters`.
        inpainting: see `InpaintingParameters`.
        contrastive: see `ContrastiveParameters`.
        supervised: see `SupervisedParameters`.
    """

    network: NetworkParameters
    held_out: HeldOutParameters
    batch_norm_rows: int = Field(ge=2)
    sources: dict[str, str | None]
    rotation: RotationParameters
    jigsaw: JigsawParameters
    colorization: ColorizationParameters
    inpainting: InpaintingParameters
    contrastive: ContrastiveParameters
    supervised: SupervisedParameters
