"""What the datasets of raw images share: they only read, and their fingerprint is their content."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from kedro.io import AbstractDataset, DatasetError

from headstart.learning.images import Mode, RawImages


class RawImagesDataset(AbstractDataset[Any, RawImages]):
    """Base of the datasets that load `RawImages`.

    Args:
        filepath: where the images are.
        mode: what pixels are stored as, "RGB" or "L" (gray, a third of the space).
        metadata: ignored here, for plugins.
    """

    def __init__(self, filepath: str, mode: Mode, metadata: dict[str, Any] | None):
        if mode not in get_args(Mode):
            raise DatasetError(f"mode: '{mode}' is not one of {', '.join(get_args(Mode))}.")
        self._filepath = Path(filepath)
        self._mode = mode
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def fingerprint(self) -> str:
        """Equal when every file has the same name and bytes and is read in the same way."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        content = [(name, path_fingerprint(path)) for name, path in self._files()]
        return value_fingerprint([self._options(), content])

    @abstractmethod
    def _files(self) -> Iterable[tuple[str, Path]]:
        """Name (not its place on this machine) and path of every file that is read."""

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """What decides, besides the files, what is loaded."""

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, **self._options()}
