"""Ingestion as a pipeline: from a folder with good and bad files to splits, draws and counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from kedro.validation.type_extractor import TypeExtractor
from PIL import Image
from pydantic import ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import RawImages
from headstart.pipelines.ingestion import (
    create_pipeline,
    create_quarantine_pipeline,
    create_source_pipeline,
)
from headstart.pipelines.ingestion.nodes import decode_target
from headstart.pipelines.ingestion.parameters import DrawParameters, IngestionParameters

SETTINGS: dict[str, Any] = {
    **{"image_size": 16, "resize": "crop", "chunk_size": 4},
    **{"max_bad_share": 0.5, "test_share": 0.25, "split_seed": 0},
}
DRAWS: dict[str, Any] = {"shots": [1, "all"], "seeds": 2, "validation_share": 0.2}


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)


def entries(folder: Path) -> dict[str, Any]:
    """The catalog of one project, its files below a folder."""

    def entry(kind: str, path: str, **options: Any) -> dict[str, Any]:
        kind = f"headstart.datasets.{kind}Dataset"
        return {"type": kind, "filepath": str(folder / path), **options}

    return {
        "{target}.target": entry("ImageFolder", "raw/{target}"),
        "{target}.source": entry("ImageFolder", "raw/{target}_source", labelled=False),
        "ingestion.{target}.{role}_images": entry("ImageStore", "{target}/{role}_images"),
        "ingestion.{target}.{table}": entry("Parquet", "{target}/{table}.parquet"),
        "ingestion.{target}.counts": entry("JSON", "{target}/counts.json"),
        "ingestion.{target}.summary": entry("JSON", "{target}/summary.json"),
        "quarantine": entry("Parquet", "quarantine.parquet"),
    }


Run = Callable[..., DataCatalog]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the ingestion of some targets and returns the catalog."""

    def run(
        *targets: str,
        sources: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,
        draws: dict[str, Any] | None = None,
    ) -> DataCatalog:
        catalog = DataCatalog.from_config(entries(tmp_path))
        catalog["params:ingestion"] = IngestionParameters(**{**SETTINGS, **(settings or {})})
        catalog["params:draws"] = DrawParameters(**{**DRAWS, **(draws or {})})
        catalog["params:compute"] = ComputeParameters(progress=False, decoding_threads=2)
        SequentialRunner().run(pipeline(targets, sources), catalog)
        return catalog

    return run


def pipeline(targets: tuple[str, ...], sources: tuple[str, ...] = ()) -> Pipeline:
    parts = [create_pipeline(target, target in sources) for target in targets]
    return sum(parts, create_quarantine_pipeline(targets))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A target with twelve good images a class."""
    root = tmp_path / "raw" / "parts"
    for i in range(12):
        save(i, root / "ok" / f"{i:02}.png")
        save(100 + i, root / "nok" / f"{i:02}.png")
    return root


def test_a_named_source_keeps_out_what_a_target_shows(
    parts: Path, run: Run, tmp_path: Path
) -> None:
    photographs = tmp_path / "raw" / "photographs"
    for i in range(6):
        save(700 + i, photographs / f"{i}.png")
    for image in sorted((parts / "ok").iterdir())[:2]:  # the target's own, under other names
        (photographs / f"copy_of_{image.name}").write_bytes(image.read_bytes())
    (photographs / "empty.png").write_bytes(b"")
    found = entries(tmp_path)
    found["photographs.source"] = {
        **found["{target}.source"],
        "filepath": str(photographs),
        "labelled": False,
    }
    catalog = DataCatalog.from_config(found)
    catalog["params:ingestion"] = IngestionParameters(**SETTINGS)
    catalog["params:draws"] = DrawParameters(**DRAWS)
    catalog["params:compute"] = ComputeParameters(progress=False, decoding_threads=2)
    both = create_pipeline("parts", False) + create_source_pipeline("photographs", ["parts"])
    both += create_quarantine_pipeline(["parts", "photographs"])
    SequentialRunner().run(both, catalog)
    store = catalog["ingestion.photographs.source_images"].load()
    kept = catalog["ingestion.photographs.source_rows"].load()["row"]
    assert store.index["path"].iloc[kept].tolist() == [f"{i}.png" for i in range(6)]
    aside = catalog["quarantine"].load()
    assert aside[["target", "role", "path"]].to_numpy().tolist() == [
        ["photographs", "source", "empty.png"]
    ]


def test_good_images_become_splits_and_draws(parts: Path, run: Run) -> None:
    catalog = run("parts")
    splits = catalog["ingestion.parts.splits"].load()
    assert list(splits) == ["target", "row", "path", "label", "class", "split"]
    assert len(splits) == 24
    assert (splits.groupby(["label", "split"]).size() == [9, 3, 9, 3]).all()
    store = catalog["ingestion.parts.target_images"].load()
    for row, path in zip(splits["row"], splits["path"], strict=True):
        assert np.array_equal(store.images[row], np.asarray(Image.open(parts / path)))
    # Without a source the development images are the source.
    source = catalog["ingestion.parts.source_rows"].load()["row"]
    assert sorted(source) == sorted(splits.loc[splits["split"] == "development", "row"])
    draws = catalog["ingestion.parts.draws"].load()
    assert draws.groupby(["shots", "seed", "role"], dropna=False).size().tolist() == [
        *[2, 2, 2, 2],
        *[14, 4, 14, 4],
    ]
    assert len(catalog["quarantine"].load()) == 0


def test_everything_bad_is_set_aside_with_path_and_reason(parts: Path, run: Run) -> None:
    whole = (parts / "ok" / "00.png").read_bytes()
    (parts / "ok" / "empty.png").write_bytes(b"")
    (parts / "ok" / "text.png").write_text("This is no image.")
    (parts / "ok" / "truncated.png").write_bytes(whole[:-300])
    (parts / "ok" / "gone.png").symlink_to(parts / "nowhere.png")
    save(500, parts / "no_class.png")
    save(501, parts / "rare" / "a.png")
    save(502, parts / "rare" / "b.png")
    save(503, parts / "ok" / "contradiction.png")
    save(503, parts / "nok" / "contradiction.bmp")
    save(0, parts / "ok" / "again.bmp")
    catalog = run("parts")
    quarantine = catalog["quarantine"].load()
    assert set(quarantine["target"]) == {"parts"}
    assert set(quarantine["role"]) == {"target"}
    contradiction = "same content with different labels (nok, ok)"
    assert dict(zip(quarantine["path"], quarantine["reason"], strict=True)) == {
        "no_class.png": "label is missing",
        "nok/contradiction.bmp": contradiction,
        "ok/contradiction.png": contradiction,
        "ok/empty.png": "file is empty",
        "ok/gone.png": "file not found",
        "ok/text.png": "not an image",
        "ok/truncated.png": "truncated image",
        "rare/a.png": "class has too few examples (2, needs 3)",
        "rare/b.png": "class has too few examples (2, needs 3)",
    }
    assert catalog["ingestion.parts.summary"].load() == {
        "target": "parts",
        "read": {"target": 34, "source": 0},
        "set_aside": {"target": 9, "source": 0},
        "duplicates_removed": {"within_target": 1, "test_from_source": 0},
        "classes": {"nok": 12, "ok": 12},
        "splits": {"development": 18, "test": 6},
        "source": 18,
    }
    splits = catalog["ingestion.parts.splits"].load()
    assert not set(splits["path"]) & set(quarantine["path"])
    assert len(splits) == 24


def test_the_run_stops_where_too_much_is_bad_and_the_table_is_there(
    parts: Path, run: Run, tmp_path: Path
) -> None:
    for i in range(9):
        (parts / "ok" / f"text{i}.png").write_text("This is no image.")
    run("parts", settings={"max_bad_share": 9 / 33})  # just allowed
    with pytest.raises(HeadstartError) as error:
        run("parts", settings={"max_bad_share": 0.27})
    message = str(error.value)
    assert message.startswith("parts: 9 of 33 target examples (27%) cannot be used")
    assert "ok/text0.png: not an image; ok/text1.png: not an image; ok/text2.png" in message
    assert "text3" not in message
    assert "quarantine.parquet" in message
    assert len(pd.read_parquet(tmp_path / "quarantine.parquet")) == 9


def test_a_bad_source_stops_the_run_too(parts: Path, run: Run) -> None:
    for i in range(4):
        save(200 + i, parts.parent / "parts_source" / f"{i}.png")
        (parts.parent / "parts_source" / f"bad{i}.png").write_bytes(b"")
    catalog = run("parts", sources=("parts",))
    quarantine = catalog["quarantine"].load()
    assert quarantine["role"].tolist() == ["source"] * 4
    with pytest.raises(HeadstartError, match=r"parts: 4 of 8 source examples \(50%\)"):
        run("parts", sources=("parts",), settings={"max_bad_share": 0.4})


def test_test_images_are_taken_out_of_the_source(parts: Path, run: Run) -> None:
    # The source has every target image under another name and in another format, and five more.
    source = parts.parent / "parts_source"
    for i in range(12):
        save(i, source / f"ok{i:02}.bmp")
        save(100 + i, source / f"nok{i:02}.bmp")
    for i in range(5):
        save(200 + i, source / f"other{i}.bmp")
    catalog = run("parts", sources=("parts",))
    splits = catalog["ingestion.parts.splits"].load()
    test = {
        path.replace("/", "").replace("png", "bmp")
        for path in splits.query("split == 'test'")["path"]
    }
    index = catalog["ingestion.parts.source_images"].load().index
    kept = set(index["path"].iloc[catalog["ingestion.parts.source_rows"].load()["row"]])
    assert len(test) == 6
    assert kept == set(index["path"]) - test
    summary = catalog["ingestion.parts.summary"].load()
    assert summary["duplicates_removed"]["test_from_source"] == 6
    assert summary["source"] == 23


def test_targets_do_not_mix(parts: Path, run: Run) -> None:
    other = parts.parent / "other"
    for i in range(4):
        save(300 + i, other / "a" / f"{i}.png")
        save(400 + i, other / "b" / f"{i}.png")
    (other / "a" / "x.png").write_text("text")
    catalog = run("parts", "other", draws={"shots": [1, 5], "shots_of": {"other": [2]}})
    assert catalog["quarantine"].load()["target"].tolist() == ["other"]
    assert catalog["ingestion.other.draws"].load()["shots"].unique().tolist() == [2]
    assert catalog["ingestion.parts.draws"].load()["shots"].unique().tolist() == [1, 5]
    assert set(catalog["ingestion.parts.splits"].load()["target"]) == {"parts"}


def test_one_class_is_refused_before_anything_is_decoded() -> None:
    def read(row: int) -> bytes:
        pytest.fail("an image was read")

    frame = pd.DataFrame({"path": ["a", "b"], "label": ["ok", "ok"]}, dtype="str")
    settings = IngestionParameters(**SETTINGS)
    with pytest.raises(HeadstartError, match="parts: one class only, 'ok', was found"):
        decode_target("parts", RawImages(frame, read), settings, ComputeParameters())
    frame["label"] = pd.Series([None, None], dtype="str")
    with pytest.raises(HeadstartError, match="parts: no class was found"):
        decode_target("parts", RawImages(frame, read), settings, ComputeParameters())


def test_one_class_that_can_be_used_is_refused(parts: Path, run: Run) -> None:
    for path in (parts / "ok").iterdir():
        path.write_bytes(b"")
    with pytest.raises(HeadstartError, match="parts: one class only, 'nok', was found"):
        run("parts", settings={"max_bad_share": 1.0})


def test_more_shots_than_there_are(parts: Path, run: Run) -> None:
    with pytest.raises(HeadstartError, match="parts: 8 shots are asked for, but the class 'nok'"):
        run("parts", draws={"shots": [1, 8]})


def test_the_same_files_make_the_same_bytes(parts: Path, run: Run, tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        files = [p for p in tmp_path.rglob("*") if p.is_file() and "raw" not in p.parts]
        return {str(p): p.read_bytes() for p in files}

    run("parts")
    first = content()
    assert len(first) == 11
    run("parts", settings={"chunk_size": 100})
    assert content() == first


@pytest.mark.parametrize(
    ("model", "settings", "change"),
    [
        (IngestionParameters, SETTINGS, {"resize": "squeeze"}),
        (IngestionParameters, SETTINGS, {"test_share": 1.0}),
        (IngestionParameters, SETTINGS, {"image_sise": 64}),
        (DrawParameters, DRAWS, {"shots": []}),
        (DrawParameters, DRAWS, {"shots": [0]}),
        (DrawParameters, DRAWS, {"shots": ["some"]}),
        (DrawParameters, DRAWS, {"shots_of": {"parts": [-1]}}),
        (DrawParameters, DRAWS, {"seeds": 0}),
    ],
)
def test_parameters_that_make_no_sense(
    model: type, settings: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        model(**{**settings, **change})


def test_shots_are_ordered_and_all_comes_last() -> None:
    draws = DrawParameters(**{**DRAWS, "shots": ["all", 20, 1, 20], "shots_of": {"x": [3]}})
    assert draws.of("parts") == [1, 20, None]
    assert draws.of("x") == [3]


def test_kedro_sees_the_types_of_the_parameters() -> None:
    types = TypeExtractor(
        {"ingestion": pipeline(("a", "b"), ("a",))}
    ).extract_types_from_pipelines()
    assert types == {
        "ingestion": IngestionParameters,
        "draws": DrawParameters,
        "compute": ComputeParameters,
    }
