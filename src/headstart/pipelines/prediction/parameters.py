"""Parameters of the prediction stage."""

from headstart.learning.configuration import Parameters


class PredictionParameters(Parameters):
    """`prediction` in `conf/base/parameters_prediction.yml`; the catalog reads them, too.

    Attributes:
        target: whose recommended model predicts.
        images: folder of images.
        texts: table of texts.
        rows: table of rows of several tasks.
    """

    target: str
    images: str
    texts: str
    rows: str
