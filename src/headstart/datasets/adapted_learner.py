"""A meta-learner that has met a task: a folder with `meta_learner/` and `adapted.safetensors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro.io import DatasetError

from headstart.datasets.atomic import replace_whole
from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.meta_learner import MetaLearnerDataset
from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.meta_learning.adapted_learner import AdaptedLearner

_LEARNER, _ADAPTED = "meta_learner", "adapted.safetensors"


class AdaptedLearnerDataset(LocalPathDataset["AdaptedLearner", "AdaptedLearner"]):
    """`headstart.learning.meta_learning.adapted_learner.AdaptedLearner` in a folder."""

    def save(self, data: AdaptedLearner) -> None:
        """Write the adapted meta-learner."""
        arrays = {name: tensor.numpy() for name, tensor in data.weights.items()}
        facts = {"classes": list(data.classes), "steps": data.steps}
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            MetaLearnerDataset(filepath=str(folder / _LEARNER)).save(data.learner)
            write_arrays(folder / _ADAPTED, arrays, facts)

    def load(self) -> AdaptedLearner:
        """Read the adapted meta-learner.

        Raises:
            DatasetError: there is none, or a damaged one.
        """
        import torch

        from headstart.learning.meta_learning.adapted_learner import AdaptedLearner

        if not self._filepath.is_dir():
            raise DatasetError(
                f"There is no adapted meta-learner in {self._filepath}. `kedro run --pipelines "
                "adaptation` makes one."
            )
        arrays, facts = read_arrays(self._filepath / _ADAPTED)
        return AdaptedLearner(
            learner=MetaLearnerDataset(filepath=str(self._filepath / _LEARNER)).load(),
            weights={name: torch.from_numpy(array) for name, array in arrays.items()},
            steps=facts["steps"],
            classes=tuple(facts["classes"]),
        )
