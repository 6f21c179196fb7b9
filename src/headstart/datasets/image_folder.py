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

    With labels, the first folder below `filepath` names the class, or several of the folders on the
    way to a file do: `label_folders: [1, 2]` makes `greek/alpha` of `greek/alpha/0001.png`. Without
    labels, every file below it counts. Links are followed; hidden files and folders are left out.

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
        label_folders: which folders on the way to a file name its class, counted from 1 on below
            `filepath`; with several, the first is the class's group.
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
        label_folders: Sequence[int] = (1,),
        pattern: str | Sequence[str] = "*",
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath, mode, metadata)
        if not label_folders or min(label_folders) < 1:
            raise DatasetError("label_folders: at least one is needed, and they count from 1 on.")
        self._labelled = labelled
        self._label_folders = list(label_folders)
        self._patterns = [pattern] if isinstance(pattern, str) else list(pattern)

    def load(self) -> RawImages:
        """List the files, sorted; they are read when they are decoded.

        Raises:
            DatasetError: there is no folder, or nothing in it.
        """
        root = self._filepath
        paths = [name for name, _ in self._files()]
        labels = [self._label(path) for path in paths]
        if self._labelled and not any(labels):
            depth = max(self._label_folders)
            deep = f" {depth} folders deep" if depth > 1 else ""
            raise DatasetError(
                f"The folder of images {root} has no sub-folder with files{deep}; labeled images "
                "stand in one sub-folder per class. (Images without labels: `labelled: false`.)"
            )
        if self._labelled:
            self._warn_of_empty_classes(paths)
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

    def _label(self, path: str) -> str | None:
        folders = path.split("/")[:-1]
        if not self._labelled or len(folders) < max(self._label_folders):
            return None
        return "/".join(folders[number - 1] for number in self._label_folders)

    def _warn_of_empty_classes(self, paths: list[str]) -> None:
        depth = max(self._label_folders)
        filled = {"/".join(path.split("/")[:depth]) for path in paths}
        folders = [self._filepath]
        for _ in range(depth):
            folders = [e for folder in folders for e in _entries(folder) if e.is_dir()]
        names = {folder.relative_to(self._filepath).as_posix() for folder in folders}
        if empty := sorted(names - filled):
            logger.warning(
                "%s: no images in %s; there is no such class then.",
                *(self._filepath, ", ".join(empty)),
            )

    def _options(self) -> dict[str, Any]:
        return {
            "mode": self._mode,
            "labelled": self._labelled,
            "label_folders": self._label_folders,
            "pattern": self._patterns,
        }


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
