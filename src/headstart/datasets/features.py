"""A representation: one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.encoders import Features


class FeaturesDataset(AbstractDataset["Features", "Features"]):
    """`headstart.learning.encoders.Features` in one safetensors file.

    Args:
        filepath: the file.
        metadata: ignored here, for plugins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: Features) -> None:
        """Write the features."""
        facts = {"name": data.name, "encoder_parameters": data.encoder_parameters}
        write_arrays(self._filepath, {"values": data.values}, facts)

    def load(self) -> Features:
        """Read the features."""
        from headstart.learning.encoders import Features

        arrays, facts = read_arrays(self._filepath)
        return Features(values=arrays["values"], **facts)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
