"""Images turned by 90, 180 and 270 degrees as classes of their own (Santoro et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from headstart.learning.images import ImageChunk, pixels_digest

_MARKS = {quarters: f"@{90 * quarters}" for quarters in (1, 2, 3)}


def with_quarter_turns(chunks: Iterable[ImageChunk]) -> Iterator[ImageChunk]:
    """Every image four times: as it is, and turned to the left once, twice and three times.

    Args:
        chunks: decoded images.

    Yields:
        Each chunk, and after it the same one turned; path and label then end in the degrees, as in
        `greek/small letter alpha@90`. What was set aside is told once.
    """
    for chunk in chunks:
        yield chunk
        good = chunk.rows[chunk.rows["reason"].isna()]
        for quarters, mark in _MARKS.items():
            images = np.ascontiguousarray(np.rot90(chunk.images, quarters, axes=(1, 2)))
            digests = pd.Series(
                [pixels_digest(pixels) for pixels in images], good.index, dtype="str"
            )
            rows = good.assign(path=good["path"] + mark, label=good["label"] + mark, digest=digests)
            yield ImageChunk(images, rows.reset_index(drop=True))


def upright_label(label: str) -> str:
    """The class that a class of turned images was made of.

    Args:
        label: of either.
    """
    for mark in _MARKS.values():
        label = label.removesuffix(mark)
    return label
