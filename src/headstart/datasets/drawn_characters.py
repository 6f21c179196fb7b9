"""A character's ink on paper: as it is, or as if drawn by hand, a little different each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

_FINER = 3  # drawn so many times larger, then made small, so that slanted edges are smooth
_LONGER_SIDE = 0.66  # of the ink, as a share of the paper's side


@dataclass(frozen=True)
class Variation:
    """How much drawings of a character differ; every number is the most, to both sides.

    Attributes:
        rotation: degrees.
        slant: of upright strokes, as the tangent of the angle.
        stretch: of width and of height, each on its own, as a share of it.
        shift: to the right and down, each on its own, as a share of the paper's side.
    """

    rotation: float = 0.0
    slant: float = 0.0
    stretch: float = 0.0
    shift: float = 0.0


def draw(
    ink: np.ndarray, size: int, variation: Variation, generator: np.random.Generator | None
) -> np.ndarray:
    """Black on white, in the middle of the paper but for the shift.

    Args:
        ink: uint8, shape (h, w), 255 where all is ink.
        size: S, pixels a side.
        variation: how much drawings differ.
        generator: draws how this one differs; None: not at all.

    Returns:
        uint8, shape (S, S), 0 where all is ink.
    """
    fine = size * _FINER
    u = generator.uniform(-1, 1, 6) if generator is not None else np.zeros(6)
    angle = np.deg2rad(variation.rotation) * u[0]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1.0, variation.slant * u[1]], [0.0, 1.0]])
    stretch = np.diag(1 + variation.stretch * u[2:4])
    # Ink, from its middle, to paper, from its middle; Pillow wants the way back.
    forth = turn @ slant @ stretch * (_LONGER_SIDE * fine / max(ink.shape))
    back = np.linalg.inv(forth)
    middle = np.array(ink.shape[::-1]) / 2
    start = middle - back @ (fine / 2 + variation.shift * fine * u[4:6])
    image = Image.fromarray(ink).transform(
        (fine, fine),
        Image.Transform.AFFINE,
        (back[0, 0], back[0, 1], start[0], back[1, 0], back[1, 1], start[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(255 - np.asarray(image.reduce(_FINER)), dtype=np.uint8)
