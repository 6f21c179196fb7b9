"""Decoding: every kind of image becomes its pixels, every kind of rubbish a reason."""

from __future__ import annotations

import io
import random
import struct
import threading
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import Mode, RawImages, Resize, decode, decode_images

QUIET = ComputeParameters(decoding_threads=2, progress=False)


def noise(width: int = 24, height: int = 24, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def raw(
    contents: list[bytes | Image.Image], labels: list[str | None] | None = None, mode: Mode = "RGB"
) -> RawImages:
    paths = [f"{i}.png" for i in range(len(contents))]
    frame = pd.DataFrame({"path": paths, "label": labels or [None] * len(paths)}, dtype="str")
    return RawImages(frame, contents.__getitem__, mode, labelled=labels is not None)


def decoded(images: RawImages, **options: object) -> tuple[np.ndarray, pd.DataFrame]:
    settings = {"size": 16, "resize": "crop", "compute": QUIET, **options}
    chunks = list(decode_images(images, **settings))  # type: ignore[arg-type]
    rows = pd.concat([c.rows for c in chunks], ignore_index=True)
    return np.concatenate([c.images for c in chunks]), rows


def reason_of(content: bytes | Image.Image) -> str:
    pixels, rows = decoded(raw([content]))
    assert len(pixels) == 0
    assert rows["digest"].isna().all()
    return str(rows["reason"].iloc[0])


def empty_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 0, 5, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file is empty"),
        (b"This is a text file named .png.", "not an image"),
        (encoded(noise())[:200], "truncated image"),
        (encoded(noise(), "JPEG")[:-200], "truncated image"),
        (encoded(noise(), "BMP")[:-200], "truncated image"),
        (encoded(noise(), "PPM")[:-1], "truncated image"),
        (encoded(noise(), "TIFF")[:-700], "truncated image"),
        (empty_png(), "zero-size image"),
        (Image.new("RGB", (0, 7)), "zero-size image"),
        (Image.fromarray(np.full((3, 3), np.nan, np.float32)), "cannot be read: not all pixels"),
    ],
)
def test_rubbish_is_set_aside_with_the_reason(content: bytes, reason: str) -> None:
    assert reason_of(content).startswith(reason)


def test_what_reading_raises_becomes_the_reason() -> None:
    def reading(error: Exception) -> RawImages:
        def read(row: int) -> bytes:
            raise error

        frame = pd.DataFrame({"path": ["a"], "label": [None]}, dtype="str")
        return RawImages(frame, read, "RGB", labelled=False)

    missing = FileNotFoundError(2, "No such file or directory", "/somewhere/a.png")
    assert decoded(reading(missing))[1]["reason"].tolist() == ["file not found"]
    forbidden = PermissionError(13, "Permission denied", "/somewhere/a.png")
    reasons = decoded(reading(forbidden))[1]["reason"].tolist()
    assert reasons == ["cannot be read: Permission denied"]
    with pytest.raises(MemoryError):  # the machine's fault, not the file's
        decoded(reading(MemoryError()))


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert reason_of(encoded(noise())) == "too many pixels to be decoded safely"


def test_a_missing_label_is_set_aside_only_where_labels_are_asked_for() -> None:
    contents: list[bytes | Image.Image] = [noise(seed=0), noise(seed=1)]
    pixels, rows = decoded(raw(contents, labels=["a", None]))
    assert len(pixels) == 1
    assert rows["reason"].isna().tolist() == [True, False]
    assert rows["reason"].iloc[1] == "label is missing"
    assert len(decoded(raw(contents))[0]) == 2


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA"])
def test_no_damage_stops_the_decoding(file_format: str) -> None:
    whole, draw = encoded(noise(), file_format), random.Random(0)
    contents: list[bytes | Image.Image] = []
    for _ in range(30):
        damaged = bytearray(whole)
        for _ in range(draw.randrange(1, 8)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        contents += [bytes(damaged), whole[: draw.randrange(1, len(whole))]]
    pixels, rows = decoded(raw(contents))
    assert len(rows) == len(contents)
    assert len(pixels) == rows["reason"].isna().sum()


def test_the_camera_orientation_is_applied() -> None:
    upright = noise(16, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise to be upright
    turned = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert np.array_equal(decode(turned, 16, "crop", "RGB"), np.asarray(upright))


def gradient(top: int) -> np.ndarray:
    return (np.linspace(0, top, 256).round().reshape(16, 16)).astype(np.int64)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(gradient(255).astype(np.uint8)),
        Image.fromarray(gradient(255).astype(np.uint8)).convert("RGB"),
        Image.fromarray(gradient(255).astype(np.uint8)).convert("RGBA"),
        Image.fromarray(gradient(255).astype(np.uint8)).convert("LA"),
        Image.fromarray(gradient(255).astype(np.uint8)).convert("P"),
        Image.fromarray((gradient(255) * 257).astype(np.uint16)),
        Image.fromarray((gradient(255) * 257).astype(np.int32)),
        Image.fromarray((gradient(255) / 255).astype(np.float32)),
        Image.fromarray(gradient(255).astype(np.float32)),
    ],
    ids=lambda image: image.mode,
)
def test_gray_values_survive_every_pixel_format(image: Image.Image) -> None:
    gray = decode(image, 16, "crop", "L")
    assert gray.shape == (16, 16, 1)
    assert np.array_equal(gray[:, :, 0], gradient(255))
    color = decode(image, 16, "crop", "RGB")
    assert color.shape == (16, 16, 3)
    assert (color == gray).all()


def test_sixteen_bits_are_read_from_files() -> None:
    values = (gradient(255) * 257).astype(np.uint16)
    png = encoded(Image.fromarray(values))
    dark = encoded(Image.fromarray((values // 300).astype(np.uint16)))
    assert np.array_equal(decode(png, 16, "crop", "L")[:, :, 0], gradient(255))
    # 16 bits stay 16 bits, however dark the picture is.
    assert decode(dark, 16, "crop", "L").max() <= 1


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert (decode(clear, 8, "crop", "RGB") == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([9, 9, 9])
    content = encoded(palette, "PNG", transparency=0)
    assert (decode(content, 8, "crop", "L") == 255).all()


def test_cmyk_and_bilevel() -> None:
    assert decode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), 8, "crop", "RGB").min() == 255
    assert decode(Image.new("1", (8, 8), 1), 8, "crop", "L").min() == 255


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        # A picture 32 wide and 16 high: black, white, white, black quarters of 8 columns.
        ("crop", [255] * 16),
        ("stretch", [0] * 4 + [255] * 8 + [0] * 4),
    ],
)
def test_resizing(resize: Resize, expected: list[int]) -> None:
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:, 8:24] = 255
    row = decode(Image.fromarray(pixels), 16, resize, "L")[8, :, 0].astype(int)
    inner = [i for i in range(16) if i not in (3, 4, 11, 12)]  # the edges are smoothed
    assert row[inner].tolist() == [expected[i] for i in inner]


def test_padding_keeps_the_whole_picture_in_the_middle() -> None:
    pixels = decode(Image.new("L", (32, 16), 255), 16, "pad", "L")[:, :, 0]
    assert (pixels[4:12] == 255).all()
    assert (pixels[:4] == 0).all()
    assert (pixels[12:] == 0).all()


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1000, 1), (1, 1000), (3, 7)])
def test_odd_sizes(resize: Resize, size: tuple[int, int]) -> None:
    assert decode(Image.new("L", size, 7), 16, resize, "RGB").shape == (16, 16, 3)


def test_equal_pixels_have_equal_digests_whatever_the_format() -> None:
    image = noise()
    formats = ["PNG", "BMP", "TIFF", "PPM"]
    contents: list[bytes | Image.Image] = [encoded(image, f) for f in formats]
    other = np.asarray(image).copy()
    other[0, 0, 0] ^= 1
    _, rows = decoded(raw([*contents, Image.fromarray(other)]), size=24)
    assert rows["digest"].nunique() == 2
    assert rows["digest"].iloc[:4].nunique() == 1


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
@pytest.mark.parametrize("threads", [1, 4])
def test_threads_and_chunks_change_nothing(threads: int, chunk_size: int) -> None:
    contents: list[bytes | Image.Image] = [encoded(noise(seed=i)) for i in range(10)]
    contents[4] = b"rubbish"
    compute = ComputeParameters(decoding_threads=threads, progress=False)
    pixels, rows = decoded(raw(contents), compute=compute, chunk_size=chunk_size)
    assert rows["path"].tolist() == [f"{i}.png" for i in range(10)]
    expected = [decode(c, 16, "crop", "RGB") for i, c in enumerate(contents) if i != 4]
    assert np.array_equal(pixels, np.stack(expected))


def test_memory_is_bounded_by_chunks() -> None:
    started = 0
    lock = threading.Lock()
    content = encoded(noise())

    def read(row: int) -> bytes:
        nonlocal started
        with lock:
            started += 1
        return content

    frame = pd.DataFrame({"path": [str(i) for i in range(200)], "label": [None] * 200}, dtype="str")
    chunks = decode_images(RawImages(frame, read, "L", False), 16, "crop", QUIET, chunk_size=5)
    for done, chunk in enumerate(chunks, start=1):
        assert len(chunk.images) <= 5
        assert started <= 5 * (done + 1)  # never more than one chunk ahead


def test_more_images_than_one_job_takes_come_in_their_order() -> None:
    images, rows = decoded(raw([Image.new("L", (16, 16), i) for i in range(70)], mode="L"))
    assert images[:, 0, 0, 0].tolist() == list(range(70))
    assert rows["path"].tolist() == [f"{i}.png" for i in range(70)]


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_an_image_of_the_wanted_size_stays_as_it_is(resize: Resize) -> None:
    image = noise(20, 20)
    assert np.array_equal(decode(encoded(image), 20, resize, "RGB"), np.asarray(image))


def test_images_that_threads_would_hold_up_are_read_in_one() -> None:
    readers: set[int] = set()

    def read(row: int) -> Image.Image:
        readers.add(threading.get_ident())
        return Image.new("L", (16, 16), row)

    frame = pd.DataFrame({"path": [str(i) for i in range(200)], "label": [None] * 200}, dtype="str")
    compute = ComputeParameters(decoding_threads=4, progress=False)
    list(decode_images(RawImages(frame, read, "L", False, in_threads=False), 16, "crop", compute))
    assert len(readers) == 1


def test_nothing_in_nothing_out() -> None:
    assert list(decode_images(raw([]), 16, "crop", QUIET)) == []


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        compute = ComputeParameters(progress=shown)
        decoded(raw([noise()]), compute=compute, description="decode parts")
        assert ("decode parts" in capsys.readouterr().err) == shown
