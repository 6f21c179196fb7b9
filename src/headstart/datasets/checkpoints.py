"""The folder that a training keeps its checkpoints in."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError

from headstart.datasets.local_path import LocalPathDataset

if TYPE_CHECKING:
    from headstart.learning.checkpoints import CheckpointFolder


class CheckpointsDataset(LocalPathDataset[Any, "CheckpointFolder"]):
    """A place for checkpoints; what stands in it does not count as data.

    A node takes it as an input and writes to it while it runs. The runner clears it when the
    node's outputs are saved.

    Args:
        filepath: the folder; made when a training first writes to it.
        metadata: ignored here, for plugins.
    """

    def load(self) -> CheckpointFolder:
        """The folder, as the training loop uses it."""
        from headstart.learning.checkpoints import CheckpointFolder

        return CheckpointFolder(self._filepath)

    def save(self, data: Any) -> None:
        """Always refused: the training loop writes its checkpoints itself."""
        raise DatasetError("Checkpoints are written by the training loop.")

    def clear(self) -> None:
        """Delete the folder and everything in it."""
        if self._filepath.exists():
            shutil.rmtree(self._filepath)

    def fingerprint(self) -> str:
        """Always the same: checkpoints save time and decide nothing."""
        return "checkpoints"

    def _exists(self) -> bool:
        return True
