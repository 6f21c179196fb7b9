"""Parameters of the representation stage for texts."""

from typing import Literal

from pydantic import Field

from headstart.learning.configuration import Parameters


class TfidfSvdParameters(Parameters):
    """Latent semantic analysis.

    Attributes:
        components: numbers that a text is turned into.
        least_texts: words that stand in fewer texts are left out.
        seed: of the randomized decomposition.
    """

    components: int = Field(ge=1)
    least_texts: int = Field(ge=1)
    seed: int = Field(ge=0)


class GloveParameters(Parameters):
    """Weighted means of word vectors.

    Attributes:
        smoothing: a; a word that makes up the share p of all words counts a / (a + p).
    """

    smoothing: float = Field(gt=0)


class TextEncoderParameters(Parameters):
    """A pretrained encoder.

    Attributes:
        most_tokens: the rest of a longer text is not read.
        pooling: how the states of a text's tokens are joined.
        batch_tokens: tokens a batch, padding included.
        untrained_seed: of the weights of the untrained one.
    """

    most_tokens: int = Field(ge=2)
    pooling: Literal["mean", "first", "last"]
    batch_tokens: int = Field(ge=1)
    untrained_seed: int = Field(ge=0)


class TextRepresentationParameters(Parameters):
    """`text_representation` in `conf/base/parameters_representation.yml`.

    Attributes:
        tfidf_svd: see `TfidfSvdParameters`.
        glove: see `GloveParameters`.
        encoder: see `TextEncoderParameters`.
    """

    tfidf_svd: TfidfSvdParameters
    glove: GloveParameters
    encoder: TextEncoderParameters
