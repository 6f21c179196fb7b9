"""Letters of many scripts, drawn in several typefaces: few examples each of very many classes."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from PIL import Image

from headstart.datasets.drawn_characters import Variation, draw
from headstart.datasets.package import path_inside
from headstart.datasets.typefaces import Face, open_faces
from headstart.learning.images import RawImages

logger = logging.getLogger(__name__)

_LETTERS = ("Lu", "Ll", "Lt", "Lo")  # marks and modifiers are no pictures of their own
_RANGE = re.compile(r"U\+([0-9A-F]{1,6})(?:-([0-9A-F]{1,6}))?", re.IGNORECASE)
_COMPARED_SIZE = 28  # pixels a side of the drawings that tell whether two letters look alike
_BLOCK = 1024  # letters compared with all others at once
_ROUNDING = 1e-9  # of a cosine of equal drawings


@dataclass(frozen=True)
class _Letter:
    script: str
    character: str
    typefaces: list[list[Face]]  # those that have it

    @cached_property
    def label(self) -> str:
        name = unicodedata.name(self.character, f"U+{ord(self.character):04X}").lower()
        return f"{self.script}/{name.removeprefix(self.script + ' ')}"


class GlyphsDataset(AbstractDataset[Any, RawImages]):
    """Letters drawn from font files, black on white; a class is a letter.

    A class is called `greek/small letter alpha`: the script, which is the class's group, and the
    letter's Unicode name. Left out of the scripts' ranges are marks, and letters with accents that
    Unicode takes apart. A letter that looks like an earlier one (a Greek Alpha like a Latin A), or
    that no font has, stays one row that cannot be read, to be set aside with the reason.

    The images of a class are shared out evenly among the typefaces that have the letter, and then
    among the faces of each. Every image is drawn anew when it is decoded, and is the same each
    time.

    Example:
        ```yaml
        glyphs.target:
          type: headstart.datasets.GlyphsDataset
          scripts:
            greek: U+0370-03FF
          fonts:
            sans:
              package: manimgx-fonts==2026.9.26.post1
              inside: manimgx_fonts
              files: ["NotoSans[wght].ttf"]
              scripts: [greek]
              axes: {Weight: [400, 700]}
            mine:
              filepath: data/01_raw/fonts
              files: [Mine-Regular.otf, Mine-Bold.otf]
              scripts: [greek]
          examples: 20
          size: 28
          variation: {rotation: 10, slant: 0.15, stretch: 0.1, shift: 0.04}
          alike: 0.93
        ```

    Args:
        scripts: name of a script -> Unicode ranges as in `U+0041-005A, U+0061-007A`. In this order
            letters are compared.
        fonts: a name of your choice for a typeface -> `files` (names of font files in a folder),
            where the folder is (`filepath`, or `package` and `inside` as in `PackageDataset`), the
            `scripts` it is used for, and `axes`: name of an axis -> positions on it. The first
            file at the first positions is what letters are compared in.
        examples: images of each class.
        size: pixels a side.
        variation: how much the images of a class differ, besides by typeface: `rotation`, degrees;
            `slant` and `stretch`, as shares of the letter, and `shift`, as a share of the side.
        alike: cosine of two letters' ink, one laid over the other, above which they count as
            looking alike; 1: none do but those that are equal.
        seed: draws the variations.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        scripts: Mapping[str, str],
        fonts: Mapping[str, dict[str, Any]],
        examples: int,
        size: int,
        variation: Mapping[str, float] | None = None,
        alike: float = 1.0,
        seed: int = 0,
        metadata: dict[str, Any] | None = None,
    ):
        if examples < 1 or size < 8:
            raise DatasetError("examples has to be at least 1, and size at least 8 pixels.")
        if not 0 < alike <= 1:
            raise DatasetError("alike: has to be more than 0 and at most 1.")
        self._ranges = {script: _ranges(script, text) for script, text in scripts.items()}
        self._scripts = dict(scripts)
        self._fonts = {name: _checked(name, font, scripts) for name, font in fonts.items()}
        for script in scripts:
            if not any(script in font["scripts"] for font in self._fonts.values()):
                raise DatasetError(f"scripts: no font is used for {script}; name it with a font.")
        try:
            self._variation = Variation(**(variation or {}))
        except TypeError as error:
            known = ", ".join(asdict(Variation()))
            raise DatasetError(f"variation: {error}; known are {known}.") from None
        self._examples, self._size, self._alike, self._seed = examples, size, alike, seed
        self.metadata = metadata

    def load(self) -> RawImages:
        """Find the letters that are to be had, and list their images.

        Raises:
            DatasetError: a font is missing, is none, or has no letter of a script that it is used
                for.
        """
        letters, missing = self._letters()
        twins = _twins(letters, self._alike)
        rows = [
            (letter, number)
            for position, letter in enumerate(letters)
            if position not in twins
            for number in range(self._examples)
        ]
        reasons = [f"looks like {letters[first].label}" for first in twins.values()]
        reasons += ["no font has this letter"] * len(missing)
        aside = [*(letters[twin].label for twin in twins), *(m.label for m in missing)]
        logger.info(
            "%d letters of %d scripts; %d others look like one of these, %d are in no font.",
            *(len(letters) - len(twins), len(self._scripts), len(twins), len(missing)),
        )
        # A font must not be used by two threads at a time.
        lock = Lock()

        def read(row: int) -> Image.Image:
            if row >= len(rows):
                raise OSError(reasons[row - len(rows)])
            letter, number = rows[row]
            with lock:
                ink = self._face(letter, number).draw(letter.character)
            assert ink is not None  # all faces of a file have the same letters
            generator = np.random.default_rng([self._seed, ord(letter.character), number])
            return Image.fromarray(draw(ink, self._size, self._variation, generator))

        paths = [
            f"{letter.label}#{number}, {self._face(letter, number).name}" for letter, number in rows
        ]
        labels = [letter.label for letter, _ in rows]
        frame = pd.DataFrame({"path": [*paths, *aside], "label": [*labels, *aside]}, dtype="str")
        return RawImages(frame, read, "L", labelled=True, in_threads=False)

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def fingerprint(self) -> str:
        """Equal when the same fonts are drawn in the same way by the same code."""
        from headstart.fingerprint import code_fingerprint, path_fingerprint, value_fingerprint

        files = [path_fingerprint(path) for font in self._fonts.values() for path in _paths(font)]
        return value_fingerprint([self._options(), files, code_fingerprint(GlyphsDataset)])

    def _letters(self) -> tuple[list[_Letter], list[_Letter]]:
        """The letters that some font has, and those that none has."""
        opened = {
            name: [open_faces(path, font["axes"]) for path in _paths(font)]
            for name, font in self._fonts.items()
        }
        found: list[_Letter] = []
        missing: list[_Letter] = []
        for script, ranges in self._ranges.items():
            used = {n: opened[n] for n, font in self._fonts.items() if script in font["scripts"]}
            without = set(used)
            for character in _characters(ranges):
                have = {name: _faces_with(character, files) for name, files in used.items()}
                typefaces = [faces for faces in have.values() if faces]
                (found if typefaces else missing).append(_Letter(script, character, typefaces))
                without -= {name for name, faces in have.items() if faces}
            if without:
                raise DatasetError(
                    f"The font {_paths(self._fonts[min(without)])[0]} ('{min(without)}') has no "
                    f"letter of {script} ({self._scripts[script]}); take the script from its "
                    "`scripts`."
                )
        return found, missing

    def _face(self, letter: _Letter, number: int) -> Face:
        """Which face an image is drawn in: the typefaces in turn, of each its faces evenly."""
        turn, typeface = divmod(number, len(letter.typefaces))
        turns = -(-self._examples // len(letter.typefaces))
        faces = letter.typefaces[typeface]
        return faces[turn * len(faces) // turns]

    def _exists(self) -> bool:
        try:
            return all(path.is_file() for font in self._fonts.values() for path in _paths(font))
        except DatasetError:
            return False

    def _options(self) -> dict[str, Any]:
        return {
            "scripts": self._scripts,
            "fonts": self._fonts,
            "examples": self._examples,
            "size": self._size,
            "variation": asdict(self._variation),
            "alike": self._alike,
            "seed": self._seed,
        }

    def _describe(self) -> dict[str, Any]:
        return self._options()


def _ranges(script: str, text: str) -> list[tuple[int, int]]:
    if not script or "/" in script:
        raise DatasetError(f"scripts: '{script}' cannot be a script's name.")
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(end or match[1], 16) for end in match.groups()) if match else (1, 0)
        if not first <= last <= 0x10FFFF:
            raise DatasetError(
                f"scripts.{script}: '{part.strip()}' is no Unicode range; write, for instance, "
                "U+0370-03FF, and a comma between several."
            )
        ranges.append((first, last))
    return ranges


def _checked(name: str, font: Mapping[str, Any], scripts: Mapping[str, str]) -> dict[str, Any]:
    if unknown := set(font) - {"filepath", "package", "inside", "files", "scripts", "axes"}:
        raise DatasetError(f"fonts.{name}: '{min(unknown)}' is not known.")
    places = [{"filepath"} & set(font), {"package", "inside"} & set(font)]
    if places not in ([{"filepath"}, set()], [set(), {"package", "inside"}]):
        raise DatasetError(
            f"fonts.{name}: say where its folder is, by `filepath`, or by `package` and `inside`."
        )
    if not font.get("files") or not font.get("scripts"):
        raise DatasetError(f"fonts.{name}: name its `files` and the `scripts` it is used for.")
    lists = {key: [v] if isinstance(v := font[key], str) else v for key in ("files", "scripts")}
    if unknown := set(lists["scripts"]) - set(scripts):
        raise DatasetError(f"fonts.{name}: scripts has no entry '{min(unknown)}'.")
    return {**font, **lists, "axes": font.get("axes") or {}}


def _paths(font: Mapping[str, Any]) -> list[Path]:
    inside_package = "package" in font
    folder = (
        path_inside(font["package"], font["inside"]) if inside_package else Path(font["filepath"])
    )
    return [folder / file for file in font["files"]]


def _characters(ranges: Sequence[tuple[int, int]]) -> Iterator[str]:
    for first, last in ranges:
        for character in map(chr, range(first, last + 1)):
            known = unicodedata.category(character) in _LETTERS
            if known and not unicodedata.decomposition(character):
                yield character


def _faces_with(character: str, files: Sequence[list[Face]]) -> list[Face]:
    """The faces of those files that have the character."""
    having = [faces for faces in files if faces[0].draw(character) is not None]
    return [face for faces in having for face in faces]


def _twins(letters: Sequence[_Letter], alike: float) -> dict[int, int]:
    """Position of a letter -> that of the first one before it that it looks like.

    What is compared does not depend on size: a small o looks like a capital O.
    """
    seen = np.stack([_seen(letter) for letter in letters]) if letters else np.zeros((0, 1))
    kept = np.ones(len(letters), dtype=bool)
    twins = {}
    for start in range(0, len(letters), _BLOCK):
        cosines = seen[start : start + _BLOCK] @ seen.T
        for position in range(start, min(start + _BLOCK, len(letters))):
            before = np.where(kept[:position], cosines[position - start, :position], 0)
            if len(before) and before.max() >= alike - _ROUNDING:
                twins[position] = int(before.argmax())
                kept[position] = False
    return twins


def _seen(letter: _Letter) -> np.ndarray:
    """The letter's ink as a vector of length 1."""
    ink = letter.typefaces[0][0].draw(letter.character)
    assert ink is not None
    paper = draw(ink, _COMPARED_SIZE, Variation(), None)
    vector = (255.0 - paper).ravel()
    return np.asarray(vector / np.linalg.norm(vector))
