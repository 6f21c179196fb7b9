"""What the catalog types at one place on a mounted file system share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset

_Saved = TypeVar("_Saved")
_Loaded = TypeVar("_Loaded")


class LocalPathDataset(AbstractDataset[_Saved, _Loaded]):
    """Base of the types that are one file or one folder, whole or absent.

    Args:
        filepath: the file or the folder.
        metadata: ignored here, for plugins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
