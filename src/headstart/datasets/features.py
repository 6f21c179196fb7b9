"""A representation: one safetensors file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.datasets.local_path import LocalPathDataset
from headstart.datasets.tensors import read_arrays, write_arrays

if TYPE_CHECKING:
    from headstart.learning.encoders import Features


class FeaturesDataset(LocalPathDataset["Features", "Features"]):
    """`headstart.learning.encoders.Features` in one safetensors file."""

    def save(self, data: Features) -> None:
        """Write the features."""
        facts = {"name": data.name, "encoder_parameters": data.encoder_parameters}
        write_arrays(self._filepath, {"values": data.values}, facts)

    def load(self) -> Features:
        """Read the features."""
        from headstart.learning.encoders import Features

        arrays, facts = read_arrays(self._filepath)
        return Features(values=arrays["values"], **facts)
