"""Patches of photographs, through the catalog alone."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from PIL import Image
from skimage.color import rgb2lab

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageChunk, RawImages, decode_images

ROOT = Path(__file__).parent.parent.parent
FOLDER = "headstart.datasets.ImageFolderDataset"


def patches(*folders: Path, **options: Any) -> AbstractDataset[Any, RawImages]:
    inside = {"type": FOLDER, "labelled": False, **options.pop("inside", {})}
    of = {str(i): {**inside, "filepath": str(folder)} for i, folder in enumerate(folders)}
    kind = "headstart.datasets.ImagePatchesDataset"
    config = {"type": kind, "of": of, "size": 8, "stride": 8, **options}
    return DataCatalog.from_config({"images": config})["images"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    root.mkdir()
    Image.fromarray(noise(16, 20)).save(root / "a.png")
    Image.fromarray(noise(8, 8, seed=1)).save(root / "b.png")
    return root


def decoded(raw: RawImages, size: int = 8) -> list[ImageChunk]:
    compute = ComputeParameters(decoding_threads=4, progress=False)
    return list(decode_images(raw, size, "crop", compute, chunk_size=1000))


def test_patches_are_cut_in_steps_and_only_where_they_fit(folder: Path) -> None:
    raw = patches(folder, stride=6).load()
    assert raw.frame["path"].tolist() == [
        *["a.png#x0,y0,1", "a.png#x6,y0,1", "a.png#x12,y0,1"],
        *["a.png#x0,y6,1", "a.png#x6,y6,1", "a.png#x12,y6,1", "b.png#x0,y0,1"],
    ]
    assert raw.frame["label"].isna().all()
    assert (raw.mode, raw.labelled) == ("RGB", False)
    (chunk,) = decoded(raw)
    assert chunk.rows["reason"].isna().all()
    a = noise(16, 20)
    expected = [a[y : y + 8, x : x + 8] for y in (0, 6) for x in (0, 6, 12)]
    np.testing.assert_array_equal(chunk.images, [*expected, noise(8, 8, seed=1)])


def test_a_smaller_photograph_shows_more_in_a_patch(folder: Path) -> None:
    raw = patches(folder, scales=[1, 1.5, 2]).load()
    assert raw.frame["path"].tolist() == [
        *[f"a.png#x{x},y{y},1" for y in (0, 8) for x in (0, 8)],
        *["a.png#x0,y0,1.5", "a.png#x0,y0,2", "b.png#x0,y0,1"],
    ]
    image = Image.fromarray(noise(16, 20))
    for row, size in ((4, (13, 11)), (5, (10, 8))):
        small = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(np.asarray(raw.read(row)), small[:8, :8])


def test_datasets_are_joined_in_their_order(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(noise(8, 8, seed=2)).save(other / "0.png")
    raw = patches(folder, other, inside={"pattern": ["b.png", "0.*"]}).load()
    assert raw.frame["path"].tolist() == ["b.png#x0,y0,1", "0.png#x0,y0,1"]
    np.testing.assert_array_equal(decoded(raw)[0].images[1], noise(8, 8, seed=2))


def test_gray_photographs_stay_gray(folder: Path) -> None:
    raw = patches(folder, inside={"mode": "L"}).load()
    assert raw.mode == "L"
    gray = np.asarray(Image.fromarray(noise(16, 20)).convert("L"))
    np.testing.assert_array_equal(decoded(raw)[0].images[0, :, :, 0], gray[:8, :8])


def test_photographs_are_cut_as_the_camera_was_held(tmp_path: Path) -> None:
    image = Image.fromarray(noise(8, 24))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    raw = patches(tmp_path).load()
    assert raw.frame["path"].tolist() == ["a.png#x0,y0,1", "a.png#x0,y8,1", "a.png#x0,y16,1"]
    turned = np.rot90(noise(8, 24), -1)
    np.testing.assert_array_equal(np.concatenate(decoded(raw)[0].images), turned)


def test_photographs_that_cannot_be_read_are_set_aside_one_row_each(folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    Image.fromarray(noise(400, 400)).save(folder / "large.png")
    large = (folder / "large.png").read_bytes()
    (folder / "large.png").unlink()
    (folder / "c_cut.png").write_bytes(large[: len(large) // 2])
    (folder / "d_text.png").write_text("not a photograph")
    (folder / "e_empty.png").write_bytes(b"")
    Image.fromarray(noise(7, 30)).save(folder / "f_small.png")
    (folder / "g_gone.png").symlink_to(folder / "nowhere.png")
    (folder / "h.png").write_bytes(whole)
    (chunk,) = decoded(patches(folder).load())
    bad = chunk.rows[chunk.rows["reason"].notna()]
    assert dict(zip(bad["path"], bad["reason"], strict=True)) == {
        "c_cut.png": "truncated image",
        "d_text.png": "not an image",
        "e_empty.png": "file is empty",
        "f_small.png": "cannot be read: smaller than a patch of 8 pixels",
        "g_gone.png": "file not found",
    }
    assert len(chunk.images) == 4 + 1 + 4


def test_a_photograph_is_not_decoded_anew_for_every_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in range(6):
        Image.fromarray(noise(64, 64, seed=name)).save(tmp_path / f"{name}.png")
    from headstart.datasets import image_patches

    seen: list[int] = []
    decode = image_patches.decode

    def counted(image: Any, *arguments: Any) -> np.ndarray:
        seen.append(1)
        return decode(image, *arguments)

    monkeypatch.setattr(image_patches, "decode", counted)
    raw = patches(tmp_path).load()
    (chunk,) = decoded(raw)
    expected = [
        noise(64, 64, seed=name)[y : y + 8, x : x + 8]
        for name in range(6)
        for y in range(0, 64, 8)
        for x in range(0, 64, 8)
    ]
    np.testing.assert_array_equal(chunk.images, expected)
    assert len(seen) <= 2 * 6  # once for the list, once for its 64 patches


def test_the_fingerprint_is_that_of_the_content_and_the_cuts(folder: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path = folder, **options: Any) -> str:
        return patches(path, **options).fingerprint()  # type: ignore[attr-defined]

    first = fingerprint()
    others = [
        *[fingerprint(size=7), fingerprint(stride=7), fingerprint(scales=[1, 2])],
        *[fingerprint(inside={"mode": "L"}), fingerprint(inside={"pattern": ["*.png"]})],
    ]
    assert len({first, *others}) == 6
    moved = folder.rename(tmp_path / "moved")
    (moved / "a.png").touch()
    assert fingerprint(moved) == first
    Image.fromarray(noise(16, 20, seed=3)).save(moved / "a.png")
    assert fingerprint(moved) != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": {}}, "there is no dataset to cut patches of"),
        ({"size": 0}, "size and stride have to be at least 1 pixel"),
        ({"stride": 0}, "size and stride have to be at least 1 pixel"),
        ({"scales": []}, "scales: at least one is needed"),
        ({"scales": [1, 0.5]}, "none may be below 1"),
    ],
)
def test_what_cannot_be_cut_is_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        patches(folder, **options).load()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    images = patches(tmp_path / "nowhere")
    assert not images.exists()
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        images.load()
    with pytest.raises(DatasetError, match="can only be read"):
        images.save(1)


def test_the_photographs_of_the_default_run_are_in_color() -> None:
    try:
        importlib.metadata.version("scikit-image")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the example package scikit-image is not installed")
    conf = str(ROOT / "conf")
    loader = OmegaConfigLoader(conf_source=conf, base_env="base", default_run_env="base")
    images = DataCatalog.from_config(loader["catalog"])["photographs.source"]
    assert images.exists()
    before = set(sys.modules)
    raw = images.load()
    assert not any(name.startswith("skimage.data") for name in set(sys.modules) - before)
    (chunk,) = decoded(raw, size=32)
    assert chunk.rows["reason"].isna().all()
    assert 800 <= len(chunk.images) <= 1500
    assert chunk.images.shape[1:] == (32, 32, 3)
    chroma = np.linalg.norm(rgb2lab(chunk.images)[..., 1:], axis=-1).mean(axis=(1, 2))
    by_photograph = [
        chroma[rows].mean()
        for rows in chunk.rows.groupby(chunk.rows["path"].str.split("#").str[0]).indices.values()
    ]
    assert len(by_photograph) == 7
    assert min(by_photograph) > 10
