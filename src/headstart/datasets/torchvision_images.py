"""Any image classification data of torchvision, by the name of its class."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError
from PIL import Image

from headstart.datasets.raw_images import RawImagesDataset
from headstart.learning.images import Mode, RawImages


class TorchvisionDataset(RawImagesDataset):
    """A class of `torchvision.datasets`.

    Example:
        ```yaml
        flowers.target:
          type: headstart.datasets.TorchvisionDataset
          name: Flowers102
          filepath: data/01_raw/flowers
          download: true
          arguments: {split: train}
        ```

    Args:
        name: of the class in `torchvision.datasets`.
        filepath: folder of its files (`root`); best one that holds nothing else.
        download: whether to fetch what is missing.
        arguments: its other arguments, for instance `{train: true}`.
        mode: what pixels are stored as, "RGB" or "L" (gray, a third of the space).
        labelled: whether to take its labels.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        name: str,
        filepath: str,
        download: bool = False,
        arguments: dict[str, Any] | None = None,
        mode: Mode = "RGB",
        labelled: bool = True,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath, mode, metadata)
        self._name = name
        self._download = download
        self._arguments = arguments or {}
        self._labelled = labelled

    def load(self) -> RawImages:
        """Open the data; images are read when they are decoded.

        Raises:
            DatasetError: there is no such class, its files are missing, or its arguments wrong.
        """
        data = self._open()
        paths = [f"{self._name}/{i}" for i in range(len(data))]
        labels = self._labels(data) if self._labelled else [None] * len(paths)

        def read(row: int) -> Image.Image:
            image = data[row][0]
            if not isinstance(image, Image.Image):
                raise OSError(f"{self._name} gives a {type(image).__name__}, not an image")
            return image

        frame = pd.DataFrame({"path": paths, "label": labels}, dtype="str")
        return RawImages(frame, read, self._mode, self._labelled)

    def _open(self) -> Any:
        import inspect

        from torchvision import datasets

        if self._name not in datasets.__all__:
            close = get_close_matches(self._name, datasets.__all__)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise DatasetError(f"torchvision.datasets has no class '{self._name}'.{hint}")
        constructor = getattr(datasets, self._name)
        accepted = inspect.signature(constructor).parameters
        arguments = dict(self._arguments)
        if "root" in accepted:
            arguments["root"] = str(self._filepath)
        if "download" in accepted:
            arguments["download"] = self._download
        try:
            return constructor(**arguments)
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            fetch = ""
            if "download" in accepted and not self._download:
                fetch = " If its files are not there yet, `download: true` fetches them."
            raise DatasetError(
                f"torchvision's {self._name} in {self._filepath} cannot be opened: {error}.{fetch}"
            ) from error

    def _labels(self, data: Any) -> Sequence[str | None]:
        for attribute in ("targets", "labels", "_labels"):
            targets = getattr(data, attribute, None)
            if targets is not None and len(targets) == len(data):
                break
        else:
            targets = [data[i][1] for i in range(len(data))]
        names = getattr(data, "classes", None)
        try:
            classes = [int(target) for target in targets]
            return [(str(names[c]) if names else str(c)) if c >= 0 else None for c in classes]
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            raise DatasetError(
                f"torchvision's {self._name} has no single class a image ({error}); it can be a "
                "source (`labelled: false`), but no target."
            ) from error

    def _files(self) -> list[tuple[str, Path]]:
        if not self._filepath.exists():
            self._open()  # fetches the files, or says what is missing
        return [("root", self._filepath)]

    def _options(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "arguments": self._arguments,
            "mode": self._mode,
            "labelled": self._labelled,
        }
