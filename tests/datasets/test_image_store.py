"""The store of decoded images: streamed to disk, mapped into memory, whole or refused."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from PIL import Image

from headstart.datasets import ImageStoreDataset
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageChunk, RawImages, decode, decode_images


def images(n: int, broken: tuple[int, ...] = ()) -> RawImages:
    def read(row: int) -> bytes | Image.Image:
        pixels = np.random.default_rng(row).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        return b"rubbish" if row in broken else Image.fromarray(pixels)

    frame = pd.DataFrame(
        {"path": [f"{i:03}.png" for i in range(n)], "label": ["ab"[i % 2] for i in range(n)]},
        dtype="str",
    )
    return RawImages(frame, read, "RGB", labelled=True)


def chunks_of(raw: RawImages, chunk_size: int = 4) -> Iterator[ImageChunk]:
    compute = ComputeParameters(decoding_threads=2, progress=False)
    return decode_images(raw, 16, "crop", compute, chunk_size=chunk_size)


def test_what_comes_back_is_what_was_decoded(tmp_path: Path) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    raw = images(11, broken=(3, 10))
    dataset.save(chunks_of(raw))
    store = dataset.load()
    good = [i for i in range(11) if i not in (3, 10)]
    expected = np.stack([decode(raw.read(i), 16, "crop", "RGB") for i in good])
    assert np.array_equal(store.images, expected)
    assert store.index["path"].tolist() == [f"{i:03}.png" for i in good]
    assert store.index["label"].tolist() == ["ab"[i % 2] for i in good]
    assert store.index["digest"].is_unique
    assert store.rejected.to_dict("records") == [
        {"path": "003.png", "reason": "not an image"},
        {"path": "010.png", "reason": "not an image"},
    ]
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


def test_equal_images_make_equal_bytes(tmp_path: Path) -> None:
    for name, chunk_size in (("one", 3), ("two", 100)):
        ImageStoreDataset(filepath=str(tmp_path / name)).save(chunks_of(images(10), chunk_size))
    for file in ("images.npy", "index.parquet", "rejected.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("raw", [images(0), images(3, broken=(0, 1, 2))])
def test_no_image_at_all(tmp_path: Path, raw: RawImages) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    dataset.save(chunks_of(raw))
    store = dataset.load()
    assert len(store.images) == len(store.index) == 0
    assert len(store.rejected) == len(raw.frame)


def test_memory_is_bounded_by_a_chunk(tmp_path: Path) -> None:
    # 64 chunks of 1 MB.
    rows = pd.DataFrame({c: ["x"] * 64 for c in ("path", "label", "digest")}, dtype="str")
    rows["reason"] = pd.Series([None] * 64, dtype="str")
    chunks = (
        ImageChunk(np.full((64, 64, 64, 4), i, dtype=np.uint8), rows.copy()) for i in range(64)
    )
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    tracemalloc.start()
    dataset.save(chunks)
    images = dataset.load().images
    assert images[63 * 64, 0, 0, 0] == 63
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert images.nbytes == 64 * 2**20
    assert peak < 10 * 2**20


def test_a_process_killed_while_writing_leaves_nothing_that_loads(tmp_path: Path) -> None:
    code = f"""
        import time
        import numpy as np, pandas as pd
        from headstart.datasets import ImageStoreDataset
        from headstart.learning.images import ImageChunk
        def chunks():
            rows = pd.DataFrame({{c: ["x"] for c in ("path", "label", "digest")}}, dtype="str")
            rows["reason"] = pd.Series([None], dtype="str")
            while True:
                yield ImageChunk(np.zeros((1, 64, 64, 3), dtype=np.uint8), rows)
                print("chunk", flush=True)
                time.sleep(0.01)
        ImageStoreDataset(filepath={str(tmp_path / "store")!r}).save(chunks())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline() == "chunk\n"
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()
    assert (tmp_path / "store.partial").exists()
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="There are no decoded images in"):
        dataset.load()
    dataset.save(chunks_of(images(5)))  # the next run takes no notice of the left-overs
    assert len(dataset.load().images) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize("file", ["images.npy", "index.parquet", "rejected.parquet"])
@pytest.mark.parametrize("damage", ["shorter", "rubbish", "empty", "missing"])
def test_damage_is_refused(tmp_path: Path, file: str, damage: str) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    dataset.save(chunks_of(images(6)))
    path = tmp_path / "store" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        damaged = {"shorter": content[:-7], "rubbish": b"rubbish" * 50, "empty": b""}[damage]
        path.write_bytes(damaged)
    with pytest.raises(DatasetError) as error:
        dataset.load()
    assert str(error.value).startswith(f"The decoded images in {tmp_path / 'store'} are damaged")


def test_images_of_different_shapes_are_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"path": ["x"], "label": ["a"], "digest": ["d"], "reason": [None]})
    sizes = (ImageChunk(np.zeros((1, s, s, 3), dtype=np.uint8), rows) for s in (8, 9))
    with pytest.raises(DatasetError, match=r"\(8, 8, 3\) and \(9, 9, 3\)"):
        ImageStoreDataset(filepath=str(tmp_path / "store")).save(sizes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [1, 5, 100])
def test_the_preview_is_one_picture(tmp_path: Path, n: int) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "store"))
    dataset.save(chunks_of(images(n)))
    picture = Image.open(io.BytesIO(base64.b64decode(dataset.preview(rows=2, columns=3))))
    assert picture.size == (3 * 16, 2 * 16)
    first = np.asarray(picture)[:16, :16]
    assert np.array_equal(first, dataset.load().images[0])
