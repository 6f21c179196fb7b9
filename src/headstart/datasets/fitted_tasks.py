"""A fitted model of several tasks: a folder with `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError

from headstart.datasets.atomic import replace_whole
from headstart.datasets.fitted_model import read_config
from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, to_bytes

if TYPE_CHECKING:
    from headstart.learning.multi_task.fitted_tasks import FittedTasks

_OWN = ("method", "task_names", "feature_names", "classes", "told_the_task")


class FittedTasksDataset(LocalPathDataset["FittedTasks", "FittedTasks"]):
    """`headstart.learning.multi_task.fitted_tasks.FittedTasks` in a folder."""

    def save(self, data: FittedTasks) -> None:
        """Write the model."""
        import numpy as np

        model, preparation = data.model, data.model.preparation
        arrays = {
            "preparation.mean": preparation.mean,
            "preparation.deviation": preparation.deviation,
            "preparation.indicated": preparation.indicated,
            "preparation.target": np.array(
                [preparation.target_mean, preparation.target_deviation], dtype=np.float64
            ),
        }
        for i, (weight, bias) in enumerate(zip(model.weights, model.biases, strict=True)):
            arrays |= {f"layer.{i}.weight": weight, f"layer.{i}.bias": bias}
        config = {
            **data.config,
            "model": {name: getattr(model, name) for name in _OWN},
            "codings": [asdict(one) for one in data.codings],
        }
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
            (folder / "model.safetensors").write_bytes(to_bytes(arrays, {}))

    def load(self) -> FittedTasks:
        """Read the model.

        Raises:
            DatasetError: there is no model, a damaged one, or one that is not for tables.
        """
        from headstart.learning.multi_task.fitted_tasks import FittedTasks
        from headstart.learning.multi_task.preparation import Preparation
        from headstart.learning.multi_task.task_model import TaskModel
        from headstart.learning.table_features import coding_of

        config = read_config(self._filepath)
        if config.get("track") != "tables":
            raise DatasetError(
                f"The model in {self._filepath} is not for tables of several tasks; name a target "
                "that is one as prediction.target."
            )
        arrays, _ = read_arrays(self._filepath / "model.safetensors")
        told: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.pop("model").items()
        }
        codings = [coding_of(one) for one in config.pop("codings")]
        target = arrays["preparation.target"]
        preparation = Preparation(
            mean=arrays["preparation.mean"],
            deviation=arrays["preparation.deviation"],
            indicated=arrays["preparation.indicated"],
            target_mean=float(target[0]),
            target_deviation=float(target[1]),
        )
        layers = range(sum(name.endswith(".weight") for name in arrays))
        model = TaskModel(
            **told,
            preparation=preparation,
            weights=[arrays[f"layer.{i}.weight"] for i in layers],
            biases=[arrays[f"layer.{i}.bias"] for i in layers],
        )
        return FittedTasks(config, codings, model)
