"""A meta-learner: a folder with `meta_learner.json` and `weights.safetensors`."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from kedro.io import DatasetError

from headstart.datasets.atomic import replace_whole
from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, to_bytes
from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from headstart.learning.meta_learning.meta_learner import MetaLearner

_FACTS, _WEIGHTS = "meta_learner.json", "weights.safetensors"


class MetaLearnerDataset(LocalPathDataset["MetaLearner", "MetaLearner"]):
    """`headstart.learning.meta_learning.meta_learner.MetaLearner` in a folder."""

    def save(self, data: MetaLearner) -> None:
        """Write the meta-learner."""
        facts = {f.name: getattr(data, f.name) for f in fields(data) if f.name != "weights"}
        arrays = {name: tensor.numpy() for name, tensor in data.weights.items()}
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            (folder / _WEIGHTS).write_bytes(to_bytes(arrays, {}))

    def load(self) -> MetaLearner:
        """Read the meta-learner.

        Raises:
            DatasetError: there is none, or a damaged one.
        """
        import torch

        from headstart.learning.meta_learning.meta_learner import MetaLearner

        file = self._filepath / _FACTS
        if not file.is_file():
            raise DatasetError(
                f"There is no meta-learner in {self._filepath}. `kedro run --pipelines "
                "ingestion,meta_learning` makes one for each family and method that "
                "few_shot.families and few_shot.methods name; check the names."
            )
        arrays, _ = read_arrays(self._filepath / _WEIGHTS)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        try:
            learner = MetaLearner(**json.loads(file.read_text(encoding="utf-8")), weights=weights)
            learner.build()
        except HeadstartError as error:
            raise DatasetError(f"{self._filepath}: {error}") from error
        except (ValueError, TypeError) as error:  # not JSON, or of something else
            raise DatasetError(
                f"The file {file} is damaged ({error}). Delete the folder and meta-train again."
            ) from error
        return learner
