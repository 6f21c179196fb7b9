"""An encoder: one safetensors file, its configuration in the header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.encoders import Encoder


class EncoderDataset(LocalPathDataset["Encoder", "Encoder"]):
    """`headstart.learning.encoders.Encoder` in one safetensors file."""

    def save(self, data: Encoder) -> None:
        """Write the encoder."""
        write_arrays(self._filepath, data.tensors, data.config)

    def load(self) -> Encoder:
        """Read the encoder."""
        from headstart.learning.encoders import Encoder

        arrays, config = read_arrays(self._filepath)
        return Encoder(config=config, tensors=arrays)
