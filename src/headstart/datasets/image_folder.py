"""A folder of images: one sub-folder a class, or any images at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError

from headstart.datasets.raw_images import RawImagesDataset
from headstart.learning.images import Mode, RawImages

logger = logging.getLogger(__name__)

# What file managers and archives leave behind. Every other file counts, and is set aside with
# the reason where it is no image.
_NOT_DATA = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir"}


class ImageFolderDataset(RawImagesDataset):
    """Images below a folder.

    With labels, the first folder below `filepath` names the class; without, every file below it
    counts. Links are followed; hidden files and folders are left out.

    Example:
        ```yaml
        my_parts.target:
          type: headstart.datasets.ImageFolderDataset
          filepath: data/01_raw/my_parts # my_parts/<class>/*.jpg
        ```

    Args:
        filepath: the folder.
        mode: what pixels are stored as, "RGB" or "L" (gray, a third of the space).
        labelled: whether the sub-folders are classes.
        pattern: which file names count, for instance "*.png", or a list of such patterns or names;
            the others are no part of the data.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        mode: Mode = "RGB",
        labelled: bool = True,
        pattern: str | Sequence[str] = "*",
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath, mode, metadata)
        self._labelled = labelled
        self._patterns = [pattern] if isinstance(pattern, str) else list(pattern)

    def load(self) -> RawImages:
        """List the files, sorted; they are read when they are decoded.

        Raises:
            DatasetError: there is no folder, or nothing in it.
        """
        root = self._filepath
        paths = [name for name, _ in self._files()]
        if self._labelled and not any("/" in path for path in paths):
            raise DatasetError(
                f"The folder of images {root} has no sub-folder with files; labeled images stand "
                "in one sub-folder per class. (Images without labels: `labelled: false`.)"
            )
        labels: list[str | None] = [
            path.split("/")[0] if self._labelled and "/" in path else None for path in paths
        ]
        if self._labelled:
            self._warn_of_empty_classes(set(labels))
        return RawImages(
            frame=pd.DataFrame({"path": paths, "label": labels}, dtype="str"),
            read=lambda row: (root / paths[row]).read_bytes(),
            mode=self._mode,
            labelled=self._labelled,
        )

    def _files(self) -> list[tuple[str, Path]]:
        root = self._filepath
        if not root.is_dir():
            what = "one sub-folder of images per class" if self._labelled else "your images"
            raise DatasetError(
                f"The folder of images {root} does not exist. Create it with {what} in it, or say "
                "in the catalog (conf/local/catalog.yml) where the images are."
            )
        files = [(p.relative_to(root).as_posix(), p) for p in _walk(root, self._patterns)]
        if not files:
            patterns = " or ".join(self._patterns)
            which = "" if patterns == "*" else f" that fits the pattern {patterns}"
            raise DatasetError(f"The folder of images {root} holds no file{which}.")
        return sorted(files)

    def _warn_of_empty_classes(self, labels: set[str | None]) -> None:
        folders = {entry.name for entry in _entries(self._filepath) if entry.is_dir()}
        if empty := sorted(folders - labels):
            logger.warning(
                "%s: no images in %s; there is no such class then.",
                *(self._filepath, ", ".join(empty)),
            )

    def _options(self) -> dict[str, Any]:
        return {"mode": self._mode, "labelled": self._labelled, "pattern": self._patterns}


def _walk(
    folder: Path, patterns: list[str], above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """All files that count; a link to a folder that it stands in is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(entry, patterns, above | {real})
        elif any(fnmatch(entry.name, pattern) for pattern in patterns):
            yield entry  # also a broken link: it is set aside with the reason


def _entries(folder: Path) -> list[Path]:
    return [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in _NOT_DATA
    ]
