"""Letters from font files: each class one letter, every letter once, and the same each time."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from headstart.datasets.drawn_characters import Variation, draw
from headstart.datasets.typefaces import open_faces
from headstart.learning.images import RawImages

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "manimgx-fonts"
SANS, THAI = "NotoSans[wght].ttf", "NotoSansThai[wght].ttf"
LATIN, GREEK, KAI = "U+0041-0044, U+006F", "U+0391-0394", "U+0E01-0E04"

try:
    FONTS = Path(str(importlib.metadata.distribution(PACKAGE).locate_file("manimgx_fonts")))
except importlib.metadata.PackageNotFoundError:
    pytest.skip(f"the example package {PACKAGE} is not installed", allow_module_level=True)


def font(*files: str, scripts: list[str], **options: Any) -> dict[str, Any]:
    return {"filepath": str(FONTS), "files": list(files), "scripts": scripts, **options}


def dataset(**options: Any) -> AbstractDataset[Any, RawImages]:
    usual: dict[str, Any] = {
        "scripts": {"latin": LATIN, "greek": GREEK},
        "fonts": {"sans": font(SANS, scripts=["latin", "greek"], axes={"Weight": [400, 700]})},
        "examples": 4,
        "size": 28,
        "variation": {"rotation": 10, "slant": 0.1, "stretch": 0.1, "shift": 0.05},
        "alike": 0.93,
    }
    config = {"type": "headstart.datasets.GlyphsDataset", **usual, **options}
    return DataCatalog.from_config({"letters": config})["letters"]


def drawn(raw: RawImages) -> tuple[np.ndarray, pd.DataFrame]:
    """The images that can be read, and the reasons of those that cannot."""
    images, reasons = [], []
    for row in range(len(raw.frame)):
        try:
            images.append(np.asarray(raw.read(row)))
        except OSError as error:
            reasons.append((raw.frame["label"].iloc[row], str(error)))
    return np.stack(images), pd.DataFrame(reasons, columns=["label", "reason"])


def test_a_class_a_letter_and_none_that_looks_like_another() -> None:
    raw = dataset().load()
    images, aside = drawn(raw)
    counts = raw.frame["label"].value_counts()
    # A and B are the same in Greek; the capital O stands in no range here, so the small one stays.
    assert aside.set_index("label")["reason"].to_dict() == {
        "greek/capital letter alpha": "looks like latin/capital letter a",
        "greek/capital letter beta": "looks like latin/capital letter b",
    }
    assert counts[counts == 4].index.tolist() == [
        *(f"latin/capital letter {c}" for c in "abcd"),
        *("latin/small letter o", "greek/capital letter gamma", "greek/capital letter delta"),
    ]
    assert images.shape == (7 * 4, 28, 28)
    assert images.dtype == np.uint8
    assert (raw.mode, raw.labelled) == ("L", True)
    # Ink on paper: something is black, the edge is nearly all white.
    assert (images.min(axis=(1, 2)) < 100).all()
    assert (images[:, [0, -1], :] > 200).mean() > 0.99


def test_size_does_not_tell_letters_apart() -> None:
    scripts = {"latin": "U+004F, U+006F, U+0053, U+0073"}  # O o S s
    fonts = {"sans": font(SANS, scripts=["latin"])}
    _, aside = drawn(dataset(scripts=scripts, fonts=fonts).load())
    assert aside["label"].tolist() == ["latin/small letter o", "latin/small letter s"]


def test_drawn_again_it_is_the_same_and_otherwise_it_is_not() -> None:
    first, _ = drawn(dataset().load())
    again, _ = drawn(dataset().load())
    assert np.array_equal(first, again)
    assert len(np.unique(first.reshape(len(first), -1), axis=0)) == len(first)
    other, _ = drawn(dataset(seed=1).load())
    assert not np.array_equal(first, other)


def test_typefaces_share_a_class_evenly_and_so_do_their_faces() -> None:
    fonts = {
        "sans": font(SANS, scripts=["latin"], axes={"Weight": [400, 550, 700]}),
        "slanted": font("NotoSans-Italic[wght].ttf", scripts=["latin"]),
    }
    raw = dataset(scripts={"latin": "U+0041"}, fonts=fonts, examples=12).load()
    faces = raw.frame["path"].str.partition(", ")[2].value_counts().to_dict()
    assert faces == {
        "NotoSans-Italic": 6,
        **{f"NotoSans, Weight {weight}": 2 for weight in (400, 550, 700)},
    }


def test_a_letter_that_no_font_has_is_told_and_a_box_is_no_letter() -> None:
    fonts = {"sans": font(SANS, scripts=["mixed"])}
    scripts = {"mixed": "U+0041, U+0E01"}  # Latin A, Thai KO KAI
    images, aside = drawn(dataset(scripts=scripts, fonts=fonts).load())
    assert len(images) == 4
    assert aside.to_numpy().tolist() == [["mixed/thai character ko kai", "no font has this letter"]]
    # Of two typefaces each draws what it has.
    fonts["thai"] = font(THAI, scripts=["mixed"])
    raw = dataset(scripts=scripts, fonts=fonts).load()
    kai = raw.frame[raw.frame["label"].str.endswith("ko kai")]
    assert len(kai) == 4
    assert kai["path"].str.contains("NotoSansThai").all()


def test_marks_and_letters_with_accents_are_no_classes() -> None:
    # Thai vowels above and below are marks, and SARA AM is taken apart into two signs.
    scripts = {"thai": "U+0E01-0E3A", "latin": "U+00C0-00C6"}
    fonts = {"sans": font(SANS, scripts=["latin"]), "thai": font(THAI, scripts=["thai"])}
    raw = dataset(scripts=scripts, fonts=fonts, alike=1.0).load()
    letters = [c for c in map(chr, range(0x0E01, 0x0E3B)) if unicodedata.category(c) == "Lo"]
    letters.remove("\N{THAI CHARACTER SARA AM}")
    labels = raw.frame["label"].unique()
    assert sum(label.startswith("thai/") for label in labels) == len(letters)
    assert [label for label in labels if label.startswith("latin/")] == ["latin/capital letter ae"]


def test_a_drawing_without_variation_is_the_ink_made_small() -> None:
    ink = np.zeros((40, 20), dtype=np.uint8)
    ink[:20] = 255
    paper = draw(ink, 28, Variation(), None)
    rows, columns = (np.flatnonzero((paper < 128).any(axis=axis)) for axis in (1, 0))
    # 0.66 of 28 pixels are 18.5: the inked upper half is 9.2 x 9.2, above the middle.
    assert abs(len(rows) - 9.2) < 1
    assert abs(len(columns) - 9.2) < 1
    assert abs(rows[0] - (14 - 9.2)) < 1
    assert rows[-1] == 13
    assert columns[0] == 27 - columns[-1]


@pytest.mark.parametrize(
    ("changed", "turned"),
    [({"rotation": 90.0}, True), ({"shift": 0.2}, False)],
)
def test_variations_stay_within_what_was_said(changed: dict[str, float], turned: bool) -> None:
    ink = np.full((40, 10), 255, dtype=np.uint8)
    shapes = []
    for seed in range(20):
        paper = draw(ink, 40, Variation(**changed), np.random.default_rng(seed))
        weight = 255.0 - paper
        middle = (weight.sum(axis=0) @ np.arange(40)) / weight.sum() - 19.5
        assert abs(middle) <= 40 * changed.get("shift", 0) + 0.3
        shapes.append(int((weight.sum(axis=0) > 255).sum()))
    assert (max(shapes) > 2 * min(shapes)) == turned


def test_axes_are_kept_to() -> None:
    path = FONTS / SANS
    light, bold = open_faces(path, {"Weight": [400, 700]})
    assert (light.name, bold.name) == ("NotoSans, Weight 400", "NotoSans, Weight 700")
    thin, thick = (face.draw("I") for face in (light, bold))
    assert thin is not None
    assert thick is not None
    assert thick.shape[1] > thin.shape[1]
    assert light.draw("\u0e01") is None  # Thai
    assert light.draw(" ") is None


def test_the_fingerprint_is_that_of_fonts_and_options(tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        folder = {"filepath": str(tmp_path), "files": [SANS], "scripts": ["latin"]}
        changed = {"scripts": {"latin": LATIN}, "fonts": {"sans": folder}, **options}
        return dataset(**changed).fingerprint()  # type: ignore[attr-defined]

    shutil.copy(FONTS / SANS, tmp_path / SANS)
    first = fingerprint()
    (tmp_path / SANS).touch()
    assert fingerprint() == first
    assert fingerprint(seed=3) != first
    shutil.copy(FONTS / THAI, tmp_path / SANS)
    assert fingerprint() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"examples": 0}, "examples has to be at least 1"),
        ({"alike": 1.5}, "alike: has to be more than 0"),
        ({"variation": {"wobble": 1}}, "known are rotation, slant, stretch, shift"),
        ({"scripts": {"latin": "0041-0044"}}, "scripts.latin: '0041-0044' is no Unicode range"),
        ({"scripts": {"latin": "U+0044-0041"}}, "is no Unicode range"),
        ({"scripts": {"la/tin": "U+0041"}}, "cannot be a script's name"),
        ({"scripts": {"latin": LATIN, "thai": KAI}}, "no font is used for thai"),
        ({"fonts": {"x": {"files": [SANS], "scripts": ["latin"]}}}, "fonts.x: say where its"),
        ({"fonts": {"x": font(scripts=["latin"])}}, "fonts.x: name its `files`"),
        ({"fonts": {"x": font(SANS, scripts=["runic"])}}, "fonts.x: scripts has no entry 'runic'"),
        ({"fonts": {"x": font(SANS, scripts=["latin"], weights=[1])}}, "'weights' is not known"),
        ({"fonts": {"x": font("Gone.ttf", scripts=["latin"])}}, "Gone.ttf does not exist"),
        ({"fonts": {"x": font("__init__.py", scripts=["latin"])}}, "__init__.py cannot be read"),
        (
            {"fonts": {"x": font(SANS, scripts=["latin"], axes={"Width": [100]})}},
            "has no axis 'Width'; its axes are Weight.",
        ),
        (
            {"fonts": {"x": font(SANS, scripts=["latin"], axes={"Weight": [400, 1000]})}},
            "has no Weight 1000; that axis goes from 400 to 700",
        ),
        (
            {"scripts": {"thai": KAI}, "fonts": {"x": font(SANS, scripts=["thai"])}},
            "('x') has no letter of thai (U+0E01-0E04)",
        ),
    ],
)
def test_what_will_not_do(options: dict[str, Any], message: str) -> None:
    usual = {"scripts": {"latin": LATIN}, "fonts": {"sans": font(SANS, scripts=["latin"])}}
    with pytest.raises(DatasetError) as error:
        dataset(**{**usual, **options}).load()
    assert message in str(error.value)


def test_a_package_of_fonts_that_is_not_there() -> None:
    missing = {"package": "no-such-fonts==1.0", "inside": "x", "files": ["x.ttf"]}
    letters = dataset(
        scripts={"latin": LATIN}, fonts={"x": {**missing, "scripts": ["latin"]}}, examples=1
    )
    assert not letters.exists()
    with pytest.raises(DatasetError) as error:
        letters.load()
    assert "'no-such-fonts', which ships this data, is not installed" in str(error.value)
    assert "pip install --no-deps no-such-fonts==1.0" in str(error.value)


def test_the_glyphs_of_the_default_catalog() -> None:
    loader = OmegaConfigLoader(
        conf_source=str(ROOT / "conf"), base_env="base", default_run_env="base"
    )
    entry = loader["catalog"]["glyphs.target"]
    for package in {f["package"].partition("==")[0] for f in entry["fonts"].values()}:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"the example package {package} is not installed")
    letters = DataCatalog.from_config({"glyphs.target": entry})["glyphs.target"]
    raw = letters.load()
    counts = raw.frame["label"].value_counts()
    classes = counts[counts == 20].index.to_series()
    scripts = classes.str.partition("/")[0].value_counts()
    assert len(classes) > 1500
    assert len(scripts) == 22
    assert scripts.min() >= 20
    assert "manimgx_fonts" not in sys.modules
    with pytest.raises(DatasetError, match="can only be read"):
        letters.save(1)
