"""The memory of this machine's devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

_GRAPHICS_CARDS = Path("/proc/driver/nvidia/gpus")


class DeviceMemoryDataset(AbstractDataset[Any, dict[str, int]]):
    """Device -> bytes that it has to give (`headstart.learning.device_memory`).

    A dataset, so that the nodes that ask are run again on another machine, and only there.

    Args:
        metadata: ignored here, for plugins.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None):
        self.metadata = metadata

    def load(self) -> dict[str, int]:
        """Ask the machine."""
        from headstart.learning.device_memory import device_memory

        return device_memory()

    def save(self, data: Any) -> None:
        """Always refused.

        Raises:
            DatasetError: always.
        """
        raise DatasetError("The memory of the devices can only be read.")

    def fingerprint(self) -> str:
        """Of main memory and graphics cards, found out without torch, which takes long to load."""
        from headstart.fingerprint import value_fingerprint
        from headstart.learning.device_memory import processor_memory

        cards = sorted(card.name for card in _GRAPHICS_CARDS.glob("*"))
        return value_fingerprint([processor_memory(), cards])

    def _describe(self) -> dict[str, Any]:
        return {}
