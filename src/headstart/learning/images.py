"""Images as arrays: decoded once, in parallel, to one size; what cannot be read is set aside."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from headstart.learning.configuration import ComputeParameters, usable_processors

Resize = Literal["crop", "pad", "stretch"]
Mode = Literal["L", "RGB"]

_ROWS_A_JOB = 16  # small images are decoded as fast as a job is handed to a thread
_NO_IMAGE = "not an image"
_ZERO_SIZE = "zero-size image"
# What Pillow's decoders say when a file ends too early.
_TRUNCATED = ("truncated", "not enough image data", "incomplete header", "unexpected end")


@dataclass(frozen=True)
class RawImages:
    """Images as they were given: a list, and a way to get the content of each.

    Attributes:
        frame: columns path (str) and label (str, or null where there is none), one row an image.
        read: row number -> the file's bytes or the decoded image; raises what reading raises.
        mode: what pixels are stored as: "L" (one channel) or "RGB".
        labelled: whether every image should have a label.
        in_threads: whether several threads are faster; not where Python draws the images, for
            which one thread holds up the others.
    """

    frame: pd.DataFrame
    read: Callable[[int], bytes | Image.Image]
    mode: Mode = "RGB"
    labelled: bool = True
    in_threads: bool = True


@dataclass(frozen=True)
class ImageChunk:
    """Some decoded images.

    Attributes:
        images: uint8, shape (n, H, W, C): those of `rows` without a reason, in order.
        rows: columns path, label, digest (of the pixels), reason (null, or why the image was
            set aside).
    """

    images: np.ndarray
    rows: pd.DataFrame


@dataclass(frozen=True)
class ImageStore:
    """All decoded images of a data set.

    Attributes:
        images: uint8, shape (N, H, W, C), read from disk when it is looked at.
        index: columns path, label, digest; row i belongs to images[i].
        rejected: columns path, reason: what was set aside.
    """

    images: np.ndarray
    index: pd.DataFrame
    rejected: pd.DataFrame


def decode_images(
    raw: RawImages,
    size: int,
    resize: Resize,
    compute: ComputeParameters,
    chunk_size: int = 256,
    description: str = "decode",
    invert: bool = False,
) -> Iterator[ImageChunk]:
    """Decode and resize images in threads, in order, never more than a few chunks in memory.

    Args:
        raw: the images.
        size: pixels a side of the result.
        resize: "crop" (the shorter side becomes `size`, the middle is kept), "pad" (the longer
            side becomes `size`, the rest is black) or "stretch".
        compute: how many threads, and whether to show a progress bar.
        chunk_size: images a chunk.
        description: stands before the progress bar.
        invert: whether light becomes dark and dark light.

    Yields:
        Chunks of at most `chunk_size` rows.
    """
    threads = compute.decoding_threads
    workers = usable_processors() if threads == "auto" else threads
    total = len(raw.frame)
    at_once = min(_ROWS_A_JOB, chunk_size)
    Image.init()  # load Pillow's decoders here, not in several threads at once
    with (
        ThreadPoolExecutor(workers if raw.in_threads else 1) as pool,
        tqdm(total=total, desc=description, unit="img", disable=not compute.progress) as bar,
    ):
        decoded: list[np.ndarray | str] = []
        jobs = (
            partial(_decode_rows, raw, range(total)[first : first + at_once], size, resize, invert)
            for first in range(0, total, at_once)
        )
        results = _in_order(pool, jobs, ahead=chunk_size // at_once)
        for done, result in enumerate(results, start=1):
            decoded.append(result)
            bar.update()
            if len(decoded) == chunk_size or done == total:
                yield _chunk(raw, done - len(decoded), decoded, size)
                decoded = []


def _in_order(
    pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], list[np.ndarray | str]]], ahead: int
) -> Iterator[np.ndarray | str]:
    """Results in the order of the jobs, at most `ahead` of these begun and not yet taken."""
    waiting: deque[Future[list[np.ndarray | str]]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) == ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def decode(content: bytes | Image.Image, size: int, resize: Resize, mode: Mode) -> np.ndarray:
    """One image as an array.

    The camera's orientation is applied, transparency is laid on white, gray values of 16 bits
    (or floating-point ones, up to 1, 255 or 65535) are scaled to 8 bits, and of an animation the
    first picture counts. What is resized is smoothed first (bilinear, antialiased).

    Args:
        content: a file's bytes, or an image.
        size: pixels a side.
        resize: see `decode_images`.
        mode: "L" or "RGB".

    Returns:
        uint8, shape (size, size, 1) or (size, size, 3).

    Raises:
        OSError: the content is no image, or a damaged one.
    """
    image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
    if 0 in image.size:
        raise OSError(_ZERO_SIZE)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)
    if image.size == (size, size):
        pass  # as it shall be
    elif resize == "crop":
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    elif resize == "pad":
        image = _pad(image, size)
    else:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, -1)


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise OSError("not all pixels are finite numbers")
    tops = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    top = next((top for top in tops if values.max() <= top), tops[-1])
    return Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))


def _pad(image: Image.Image, size: int) -> Image.Image:
    # ImageOps.pad fails on images so long that their short side would become no pixel at all.
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new(image.mode, (size, size))
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(small, ((size - width) // 2, (size - height) // 2))
    return canvas


def _decode_rows(
    raw: RawImages, rows: range, size: int, resize: Resize, invert: bool
) -> list[np.ndarray | str]:
    return [_decode_row(raw, row, size, resize, invert) for row in rows]


def _decode_row(
    raw: RawImages, row: int, size: int, resize: Resize, invert: bool
) -> np.ndarray | str:
    """The pixels, or the reason why there are none."""
    if raw.labelled and pd.isna(raw.frame["label"].iloc[row]):
        return "label is missing"
    content: bytes | Image.Image | None = None
    try:
        content = raw.read(row)
        if isinstance(content, bytes) and not content:
            return "file is empty"
        pixels = decode(content, size, resize, raw.mode)
        return 255 - pixels if invert else pixels
    except FileNotFoundError:
        return "file not found"
    except UnidentifiedImageError:
        return _ZERO_SIZE if isinstance(content, bytes) and _is_empty_png(content) else _NO_IMAGE
    except Image.DecompressionBombError:
        return "too many pixels to be decoded safely"
    except MemoryError:
        raise
    except Exception as error:
        # Every decoder of Pillow has its own exceptions for damaged files (OSError, SyntaxError,
        # ValueError, IndexError, RuntimeError, ...). One bad file must not stop the rest, and
        # what it says is kept as the reason.
        text = str(getattr(error, "strerror", None) or error)
        if text == _ZERO_SIZE:
            return text
        if isinstance(error, EOFError) or any(sign in text.lower() for sign in _TRUNCATED):
            return "truncated image"
        return f"cannot be read: {text}"


def _is_empty_png(content: bytes) -> bool:
    # Pillow calls a picture without width or height no picture; this is the format with many.
    return content.startswith(b"\x89PNG") and b"\0\0\0\0" in (content[16:20], content[20:24])


def _chunk(raw: RawImages, first: int, decoded: list[np.ndarray | str], size: int) -> ImageChunk:
    rows = raw.frame.iloc[first : first + len(decoded)].reset_index(drop=True)
    good = [pixels for pixels in decoded if isinstance(pixels, np.ndarray)]
    channels = len(Image.new(raw.mode, (1, 1)).getbands())
    images = np.stack(good) if good else np.zeros((0, size, size, channels), dtype=np.uint8)
    rows["digest"] = [None if isinstance(p, str) else pixels_digest(p) for p in decoded]
    rows["reason"] = [p if isinstance(p, str) else None for p in decoded]
    return ImageChunk(images, rows.astype("str"))


def pixels_digest(pixels: np.ndarray) -> str:
    """Equal exactly when shape and pixels are.

    Args:
        pixels: uint8, of one image.
    """
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()
