"""Parameters of the adaptation stage."""

from typing import Literal

from pydantic import Field

from headstart.learning.configuration import Parameters


class TaskAdaptationParameters(Parameters):
    """`adaptation` in `conf/base/parameters_adaptation.yml`; the catalog reads them, too.

    Attributes:
        family: of the meta-training.
        method: likewise.
        shots: likewise.
        model: folder of another meta-learner; None: that of family, method and shots.
        task: name of the user's task, and of the folder of its labeled images.
        images: folder of images to predict.
        points: table of numbers.
        steps: of gradient descent; None: the method's own number.
        reading: what batch norm normalizes by.
    """

    family: str
    method: str
    shots: int = Field(ge=1)
    model: str | None
    task: str
    images: str
    points: str
    steps: int | None = Field(ge=0)
    reading: Literal["support", "running"]
