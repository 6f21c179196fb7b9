"""The configuration of a language model, without its weights."""

from __future__ import annotations

from typing import Any

from kedro.io import AbstractDataset, DatasetError

SUFFIX = ".configuration"


class ConfigurationDataset(AbstractDataset[Any, dict[str, Any]]):
    """The `config.json` of the model that another entry of the catalog loads.

    A hook puts one beside each language model: `pretrained.minilm.configuration` beside
    `pretrained.minilm` (`headstart.hooks.ConfigurationHooks`).

    Args:
        model: the entry, a `LanguageModelDataset` or a `PackageDataset` with one inside.
    """

    def __init__(self, model: Any):
        self._model = model

    def load(self) -> dict[str, Any]:
        """Its fields; no weights are read.

        Raises:
            DatasetError: there is no such model.
        """
        fields: dict[str, Any] = self._model.configuration()
        return fields

    def save(self, data: Any) -> None:
        """Always refused.

        Raises:
            DatasetError: always.
        """
        raise DatasetError("The configuration of a model can only be read.")

    def fingerprint(self) -> str:
        """That of the model."""
        return str(self._model.fingerprint())

    def _describe(self) -> dict[str, Any]:
        return {"model": self._model}
