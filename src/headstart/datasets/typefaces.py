"""Font files as typefaces: a font at a position of its axes, and the characters it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from kedro.io import DatasetError
from PIL import ImageFont

EM = 48  # pixels of the em square that characters are drawn at, before they are made small
_NO_CHARACTER = "\U0010ffff"  # stands in no font: what is drawn for it is what is drawn for none


@dataclass(frozen=True)
class Face:
    """One look of a typeface.

    Attributes:
        name: of the font's file, without its ending, and the position on its axes.
        font: as Pillow draws it.
        nothing: ink of what it draws for a character that it has nothing for, often a box.
    """

    name: str
    font: ImageFont.FreeTypeFont
    nothing: np.ndarray | None

    def draw(self, character: str) -> np.ndarray | None:
        """The character's ink.

        Args:
            character: one.

        Returns:
            uint8, shape (h, w), cut to the ink, 255 where all is ink; None where the font has
            nothing for it.
        """
        ink = _ink(self.font, character)
        if ink is None or (self.nothing is not None and np.array_equal(ink, self.nothing)):
            return None
        return ink


def open_faces(path: Path, axes: Mapping[str, Sequence[float]]) -> list[Face]:
    """Every look of a font that its axes are asked for.

    Args:
        path: of the font.
        axes: name of an axis -> positions on it; an axis that is not named stays where it is.

    Returns:
        One face a combination of positions, the first position of each axis first.

    Raises:
        DatasetError: the file is no font, has no such axis, or the axis does not reach so far.
    """
    if not path.is_file():
        raise DatasetError(f"The font {path} does not exist.")
    given = _axes(_open(path))
    if unknown := sorted(set(axes) - set(given)):
        has = f"its axes are {', '.join(given)}" if given else "it has no axes"
        raise DatasetError(f"The font {path} has no axis '{unknown[0]}'; {has}.")
    for name, positions in axes.items():
        least, _, most = given[name]
        if not positions:
            raise DatasetError(f"axes: {name} of the font {path} has no position.")
        if outside := [p for p in positions if not least <= p <= most]:
            raise DatasetError(
                f"The font {path} has no {name} {outside[0]:g}; that axis goes from {least:g} to "
                f"{most:g}."
            )
    faces = []
    for place in product(*(axes.get(name, [given[name][1]]) for name in given)):
        # Each look is a font of its own, as its position is a state of the font.
        font = _open(path)
        if place:
            font.set_variation_by_axes(list(place))
        looks = [f"{name} {at:g}" for name, at in zip(given, place, strict=True) if name in axes]
        name = ", ".join([path.stem.partition("[")[0], *looks])
        faces.append(Face(name, font, _ink(font, _NO_CHARACTER)))
    return faces


def _open(path: Path) -> ImageFont.FreeTypeFont:
    try:
        # The basic layout is in every build of Pillow, and single characters need no other.
        return ImageFont.truetype(path, EM, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise DatasetError(f"The font {path} cannot be read: {error}.") from error


def _axes(font: ImageFont.FreeTypeFont) -> dict[str, tuple[float, float, float]]:
    """Name -> least, usual and greatest position; nothing for a font without axes."""
    try:
        axes = font.get_variation_axes()
    except OSError:  # how Pillow says that a font has none
        return {}
    return {
        str(axis["name"] or b"", "utf-8", "replace"): (
            axis["minimum"] or 0,
            axis["default"] or 0,
            axis["maximum"] or 0,
        )
        for axis in axes
    }


def _ink(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray | None:
    mask = font.getmask(character, mode="L")
    if 0 in mask.size:
        return None
    width, height = mask.size
    pixels = np.array(mask, dtype=np.uint8).reshape(height, width)
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
