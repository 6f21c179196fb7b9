"""Decoded images in one memory-mapped file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
from kedro.io import DatasetError
from PIL import Image

from headstart.datasets.atomic import replace_whole
from headstart.datasets.local_path import LocalPathDataset
from headstart.learning.images import ImageChunk, ImageStore

if TYPE_CHECKING:
    from kedro_datasets._typing import ImagePreview

_COLUMNS = ["path", "label", "digest"]


class ImageStoreDataset(LocalPathDataset[Iterable[ImageChunk], ImageStore]):
    """A folder with `images.npy` (uint8, N x H x W x C), `index.parquet`, `rejected.parquet`.

    Written chunk by chunk, and read by mapping the file into memory, so that the images may be
    larger than the memory.
    """

    def save(self, data: Iterable[ImageChunk]) -> None:
        """Write the chunks as they come.

        Raises:
            DatasetError: the chunks hold images of different shapes, or the disk is full.
        """
        rows = [pd.DataFrame(columns=[*_COLUMNS, "reason"], dtype="str")]
        with replace_whole(self._filepath) as folder:
            folder.mkdir()
            with (folder / "images.npy").open("wb") as file:
                count, shape = 0, None
                for chunk in data:
                    if shape is None:
                        shape = chunk.images.shape[1:]
                        _write_header(file, (0, *shape))
                    elif chunk.images.shape[1:] != shape:
                        raise DatasetError(f"images of {shape} and {chunk.images.shape[1:]}")
                    file.write(np.ascontiguousarray(chunk.images).data)
                    count += len(chunk.images)
                    rows.append(chunk.rows)
                # NumPy leaves room in the header for the first axis to grow.
                file.seek(0)
                _write_header(file, (count, *(shape or (0, 0, 0))))
            table = pd.concat(rows, ignore_index=True)
            good = table["reason"].isna()
            table.loc[good, _COLUMNS].to_parquet(folder / "index.parquet", index=False)
            table.loc[~good, ["path", "reason"]].to_parquet(
                folder / "rejected.parquet", index=False
            )

    def load(self) -> ImageStore:
        """Map the images and read the tables.

        Raises:
            DatasetError: the folder is not there, or damaged.
        """
        folder = self._filepath
        if not folder.is_dir():
            raise DatasetError(
                f"There are no decoded images in {folder}. Run the ingestion pipeline first."
            )
        try:
            images = _map(folder / "images.npy")
            index = pd.read_parquet(folder / "index.parquet")
            rejected = pd.read_parquet(folder / "rejected.parquet")
        except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these
            raise DatasetError(
                f"The decoded images in {folder} are damaged ({error}). Delete the folder and run "
                "again."
            ) from error
        if len(images) != len(index):
            raise DatasetError(
                f"The decoded images in {folder} are damaged ({len(images)} images, {len(index)} "
                "rows). Delete the folder and run again."
            )
        return ImageStore(images=images, index=index, rejected=rejected)

    def preview(self, rows: int = 4, columns: int = 8) -> ImagePreview:
        """Some of the images, evenly chosen, as one picture for Kedro-Viz.

        Args:
            rows: of images.
            columns: of images.

        Returns:
            A PNG file in base64.
        """
        images = _map(self._filepath / "images.npy")
        n, height, width, channels = images.shape
        chosen = np.unique(np.linspace(0, max(n - 1, 0), rows * columns, dtype=int))[:n]
        tiles = np.full((rows * columns, height, width, channels), 255, dtype=np.uint8)
        tiles[: len(chosen)] = images[chosen]
        sheet = (
            tiles.reshape(rows, columns, height, width, channels)
            .swapaxes(1, 2)
            .reshape(rows * height, columns * width, channels)
        )
        file = io.BytesIO()
        Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()


def _map(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        expected = file.tell() + int(np.prod(shape)) * dtype.itemsize
    if path.stat().st_size != expected:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes instead of {expected}")
    # An empty file cannot be mapped.
    return np.load(path, mmap_mode="r" if np.prod(shape) else None, allow_pickle=False)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
