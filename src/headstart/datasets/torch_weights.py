"""Weights of a pretrained network: a `.pth` or `.safetensors` file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError

from headstart.datasets.local_path import LocalPathDataset

if TYPE_CHECKING:
    import torch


class TorchWeightsDataset(LocalPathDataset[Any, "dict[str, torch.Tensor]"]):
    """A state dict, read without running anything that the file holds.

    Args:
        filepath: the file, `.safetensors`, or else read with `weights_only=True`.
        metadata: ignored here, for plugins.
    """

    def load(self) -> dict[str, torch.Tensor]:
        """Read the weights, on the CPU.

        Raises:
            DatasetError: the file is missing, damaged, or holds something else than weights.
        """
        import torch
        from safetensors.torch import load_file

        if not self._filepath.is_file():
            raise DatasetError(f"The weights file {self._filepath} does not exist.")
        try:
            if self._filepath.suffix == ".safetensors":
                weights: Any = load_file(self._filepath)
            else:
                weights = torch.load(self._filepath, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:
            # A damaged pickle ends in almost any exception: UnpicklingError, RuntimeError,
            # UnicodeDecodeError, IndexError, struct.error, ... All mean the same.
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DatasetError(
                f"The weights file {self._filepath} cannot be read: it is damaged, or holds more "
                f"than weights ({first}). Fetch it again, or convert it to safetensors."
            ) from error
        if not isinstance(weights, dict):
            raise DatasetError(
                f"The weights file {self._filepath} holds a {type(weights).__name__}, not a state "
                "dict. Save `model.state_dict()` instead."
            )
        return weights

    def save(self, data: Any) -> None:
        """Always refused: pretrained weights are read only."""
        raise DatasetError(f"The weights file {self._filepath} can only be read.")
