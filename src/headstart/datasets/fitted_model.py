"""A fitted model: a folder with `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError

from headstart.datasets.atomic import replace_whole
from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, to_bytes

if TYPE_CHECKING:
    from headstart.learning.fitted_model import FittedModel


class FittedModelDataset(LocalPathDataset["FittedModel", "FittedModel"]):
    """`headstart.learning.fitted_model.FittedModel` in a folder."""

    def save(self, data: FittedModel) -> None:
        """Write the model."""
        arrays = {f"encoder.{name}": array for name, array in data.encoder.tensors.items()}
        arrays |= {f"head.{name}": array for name, array in data.head.items()}
        config = {**data.config, "encoder": data.encoder.config}
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
            (folder / "model.safetensors").write_bytes(to_bytes(arrays, {}))

    def load(self) -> FittedModel:
        """Read the model.

        Raises:
            DatasetError: there is no model, or a damaged one.
        """
        from headstart.learning.encoders import Encoder
        from headstart.learning.fitted_model import FittedModel

        config = read_config(self._filepath)
        arrays, _ = read_arrays(self._filepath / "model.safetensors")
        parts: dict[str, dict[str, Any]] = {"encoder": {}, "head": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        encoder = Encoder(config=config.pop("encoder"), tensors=parts["encoder"])
        return FittedModel(config=config, encoder=encoder, head=parts["head"])


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a fitted model.

    Args:
        folder: of the model.

    Raises:
        DatasetError: there is no model, or a damaged one.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise DatasetError(
            f"There is no fitted model in {folder}. `kedro run` makes one for each of its targets; "
            "check the target's name."
        )
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(
            f"The file {file} is damaged ({error}). Delete the folder and run again."
        ) from error
    return config
