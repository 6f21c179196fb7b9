"""Square patches of large images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from PIL import Image, ImageOps

from headstart.learning.images import Mode, RawImages, decode

_REMEMBERED = 4  # decoded photographs, so that none is decoded anew for each of its patches


class ImagePatchesDataset(AbstractDataset[Any, RawImages]):
    """Patches of the images of other datasets, without labels, one row a patch.

    A patch of `cat.png` whose upper left corner is 64 pixels from the left and 128 from the top of
    the photograph made smaller by 2 is called `cat.png#x64,y128,2`. To see how large each
    photograph is and whether it can be read at all, it is decoded once more than for its patches;
    one that cannot be read, or is too small for a patch, stays one row, to be set aside with the
    reason.

    Example:
        ```yaml
        photographs.source:
          type: headstart.datasets.ImagePatchesDataset
          of:
            mine:
              type: headstart.datasets.ImageFolderDataset
              filepath: data/01_raw/photographs
              labelled: false
          size: 96
          stride: 48
          scales: [1, 2]
        ```

    Args:
        of: a name of your choice -> configuration of a dataset that loads raw images; they are
            joined in this order. (A mapping, since Kedro makes a `filepath` count from the
            project's folder in mappings, but not in lists.)
        size: pixels a side of a patch.
        stride: pixels from one patch to the next, to the right and down; less than `size`: they
            overlap.
        scales: factors, at least 1, by which photographs are made smaller before they are cut: a
            patch then shows more of them.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        of: Mapping[str, dict[str, Any]],
        size: int,
        stride: int,
        scales: Sequence[float] = (1,),
        metadata: dict[str, Any] | None = None,
    ):
        if not of:
            raise DatasetError("of: there is no dataset to cut patches of.")
        if size < 1 or stride < 1:
            raise DatasetError("size and stride have to be at least 1 pixel.")
        if not scales or min(scales) < 1:
            raise DatasetError("scales: at least one is needed, and none may be below 1.")
        self._of = {name: dict(config) for name, config in of.items()}
        self._size, self._stride, self._scales = size, stride, list(scales)
        self.metadata = metadata

    def load(self) -> RawImages:
        """List the patches of every photograph; they are cut when they are decoded.

        Raises:
            DatasetError: a dataset that is cut cannot be loaded.
        """
        photographs = _Photographs([inside.load() for inside in self._inside()], self._scales)
        rows: list[tuple[int, int, int, int]] = []  # photograph, scale, left, top; scale -1: whole
        paths: list[str] = []
        for number, name in enumerate(photographs.names):
            found = 0
            for scale, (width, height) in enumerate(photographs.sizes(number)):
                for top in range(0, height - self._size + 1, self._stride):
                    for left in range(0, width - self._size + 1, self._stride):
                        rows.append((number, scale, left, top))
                        paths.append(f"{name}#x{left},y{top},{self._scales[scale]:g}")
                        found += 1
            if not found:
                rows.append((number, -1, 0, 0))
                paths.append(name)

        def read(row: int) -> bytes | Image.Image:
            number, scale, left, top = rows[row]
            if scale < 0:
                if photographs.sizes(number):
                    raise OSError(f"smaller than a patch of {self._size} pixels")
                return photographs.content(number)  # damaged: whoever decodes it says how
            right, bottom = left + self._size, top + self._size
            return photographs.scaled(number)[scale].crop((left, top, right, bottom))

        frame = pd.DataFrame({"path": paths, "label": [None] * len(paths)}, dtype="str")
        return RawImages(frame, read, photographs.mode, labelled=False)

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def fingerprint(self) -> str:
        """Equal when the datasets inside load the same content and it is cut in the same way."""
        from headstart.fingerprint import value_fingerprint

        content = [inside.fingerprint() for inside in self._inside()]
        return value_fingerprint([self._size, self._stride, self._scales, content])

    def _inside(self) -> list[Any]:
        # `from_config` takes what it needs out of the configuration that it is given.
        return [AbstractDataset.from_config(name, {**c}) for name, c in self._of.items()]

    def _exists(self) -> bool:
        return all(inside.exists() for inside in self._inside())

    def _describe(self) -> dict[str, Any]:
        options = {"size": self._size, "stride": self._stride, "scales": self._scales}
        return {"of": self._of, **options}


class _Photographs:
    """The images of several datasets, the last few of them decoded; for use in threads.

    Args:
        sets: what the datasets load.
        scales: factors by which each photograph is made smaller.
    """

    def __init__(self, sets: list[RawImages], scales: list[float]):
        self._rows = [(raw, row) for raw in sets for row in range(len(raw.frame))]
        self._scales = scales
        self._remembered = lru_cache(_REMEMBERED)(self._decode)
        # One thread decodes a photograph, the others that want it wait for that.
        self._locks = [Lock() for _ in self._rows]
        self.names = [str(raw.frame["path"].iloc[row]) for raw, row in self._rows]
        self.mode: Mode = "L" if all(raw.mode == "L" for raw in sets) else "RGB"

    def sizes(self, number: int) -> list[tuple[int, int]]:
        """Width and height at each scale; none for a photograph that cannot be read."""
        try:
            return [image.size for image in self.scaled(number)]
        except MemoryError:
            raise
        except Exception:  # Pillow's decoders raise many kinds; it is raised, and told, again later
            return []

    def content(self, number: int) -> bytes | Image.Image:
        """The file's bytes or the image, as its dataset gives it."""
        raw, row = self._rows[number]
        return raw.read(row)

    def scaled(self, number: int) -> list[Image.Image]:
        """A photograph at each scale.

        Raises:
            OSError: it is no image, or a damaged one; or what reading raises.
        """
        with self._locks[number]:
            return self._remembered(number)

    def _decode(self, number: int) -> list[Image.Image]:
        content = self.content(number)
        image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
        image = ImageOps.exif_transpose(image)
        width, height = image.size
        # `decode` makes squares. As large as the longer side, it only adds a border to an image.
        side = max(width, height)
        left, top = (side - width) // 2, (side - height) // 2
        square = decode(image, side, "pad", self.mode)
        pixels = square[top : top + height, left : left + width]
        whole = Image.fromarray(pixels if self.mode == "RGB" else pixels[:, :, 0])
        sizes = [(max(1, round(width / s)), max(1, round(height / s))) for s in self._scales]
        return [
            whole if size == whole.size else whole.resize(size, Image.Resampling.BILINEAR)
            for size in sizes
        ]
