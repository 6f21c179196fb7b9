"""A pretext task as something to plan: its own network, its own loss, on a batch like its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from headstart.errors import HeadstartError
from headstart.learning.networks import NETWORKS
from headstart.learning.planning.models import Configurations
from headstart.learning.planning.parameters import OptimizerName, Precision
from headstart.learning.planning.steps import Step, autocast, from_meta
from headstart.learning.pretext.parameters import NetworkParameters, PretextParameters
from headstart.learning.pretext.registry import TASKS
from headstart.learning.pretext.supervised import Supervised
from headstart.learning.pretext.task import Source

_FEW = 2  # images whose batch is made for real: a larger one has the same shape but for its length


@dataclass(frozen=True)
class PretextJob:
    """One pretext task to plan.

    Attributes:
        task: a key of `headstart.learning.pretext.registry.TASKS`.
        parameters: of the task.
        network: that is trained.
        image_size: pixels a side of the stored images.
        classes: of the source, for `supervised`.
        precision: of weights and arithmetic; a mixed one computes in half.
    """

    task: str
    parameters: PretextParameters
    network: NetworkParameters
    image_size: int
    classes: int
    precision: Precision = "fp32"
    optimizer: ClassVar[OptimizerName] = "adam"

    def make_step(
        self, batch: int, configurations: Configurations, layers: int | None, fake: FakeTensorMode
    ) -> Step:
        """One step out of fake tensors.

        Args:
            batch: images.
            configurations: not needed.
            layers: not needed.
            fake: what makes the tensors fake; not yet entered.

        Raises:
            HeadstartError: there is no such network, or the task does not go with it.
        """
        if self.network.architecture not in NETWORKS:
            raise HeadstartError(
                f"pretraining.network.architecture: there is no network "
                f"'{self.network.architecture}'. Known: {', '.join(NETWORKS)}."
            )
        rng = np.random.default_rng(0)
        shape = (max(_FEW, self.classes), self.image_size, self.image_size, 3)
        images = rng.integers(0, 256, shape, dtype=np.uint8)  # of all colors: nothing is left out
        rows = np.arange(len(images))
        source = Source(images, rows, np.array([str(row) for row in rows]))
        size = self.parameters.image_size or self.network.image_size
        config = {"name": self.task, "image_size": size, "channels": 3, "mean": [0.5], "std": [0.5]}
        task = TASKS[self.task](self.parameters, config, source)
        with torch.device("meta"):
            encoder = NETWORKS[self.network.architecture]()
            model = task.build(encoder, int(encoder.num_features))  # type: ignore[arg-type]
        model.to(memory_format=torch.channels_last)
        few = torch.from_numpy(images[:_FEW])
        labels = torch.arange(_FEW) if isinstance(task, Supervised) else None
        example = task.batch(few, labels, torch.Generator().manual_seed(0))
        with fake:
            from_meta(model)
            inputs = {name: _longer(tensor, batch) for name, tensor in example.items()}

        def run() -> None:
            with autocast(self.precision):
                loss, _ = task.loss(model, inputs)
            loss.backward()

        return Step(model.train(), None, list(model.parameters()), inputs, run)


def _longer(example: torch.Tensor, batch: int) -> torch.Tensor:
    """A tensor like an example of few images, for a whole batch, without contents."""
    length = len(example) // _FEW * batch
    return torch.empty_strided((length, *example.shape[1:]), example.stride(), dtype=example.dtype)
