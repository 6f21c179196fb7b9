"""All pretext tasks by their names. One more is one more file, and one more line here."""

from typing import Any

from headstart.learning.pretext.colorization import Colorization
from headstart.learning.pretext.contrastive import Contrastive
from headstart.learning.pretext.inpainting import Inpainting
from headstart.learning.pretext.jigsaw import Jigsaw
from headstart.learning.pretext.rotation import Rotation
from headstart.learning.pretext.supervised import Supervised
from headstart.learning.pretext.task import PretextTask

TASKS: dict[str, type[PretextTask[Any]]] = {
    "rotation": Rotation,
    "jigsaw": Jigsaw,
    "colorization": Colorization,
    "inpainting": Inpainting,
    "contrastive": Contrastive,
    "supervised": Supervised,
}
