"""An encoder: one safetensors file, its configuration in the header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.encoders import Encoder


class EncoderDataset(AbstractDataset["Encoder", "Encoder"]):
    """`headstart.learning.encoders.Encoder` in one safetensors file.

    Args:
        filepath: the file.
        metadata: ignored here, for plugins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: Encoder) -> None:
        """Write the encoder."""
        write_arrays(self._filepath, data.tensors, data.config)

    def load(self) -> Encoder:
        """Read the encoder."""
        from headstart.learning.encoders import Encoder

        arrays, config = read_arrays(self._filepath)
        return Encoder(config=config, tensors=arrays)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
