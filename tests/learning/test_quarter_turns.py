"""Turned images as classes of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import RawImages, decode_images
from headstart.learning.quarter_turns import upright_label, with_quarter_turns


def test_every_image_comes_four_times_and_what_was_set_aside_once() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    raw = RawImages(
        pd.DataFrame({"path": list("xyz"), "label": ["g/a", "g/b", "g/a"]}, dtype="str"),
        lambda row: b"rubbish" if row == 1 else _picture(pictures[row]),
        mode="L",
    )
    compute = ComputeParameters(progress=False, decoding_threads=1)
    chunks = list(with_quarter_turns(decode_images(raw, 8, "crop", compute, chunk_size=2)))
    rows = pd.concat([chunk.rows for chunk in chunks], ignore_index=True)
    images = np.concatenate([chunk.images for chunk in chunks])
    assert rows["reason"].notna().sum() == 1
    good = rows[rows["reason"].isna()].reset_index(drop=True)
    assert len(good) == len(images) == 8
    assert good["digest"].is_unique
    for quarters, mark in enumerate(("", "@90", "@180", "@270")):
        for path, original in (("x", 0), ("z", 2)):
            row = good.index[good["path"] == path + mark].item()
            assert np.array_equal(images[row, :, :, 0], np.rot90(pictures[original], quarters))
            assert good["label"][row] == "g/a" + mark
            assert upright_label(good["label"][row]) == "g/a"


@pytest.mark.parametrize("label", ["g/a", "a@9", "90", "a@90b"])
def test_other_labels_are_left_as_they_are(label: str) -> None:
    assert upright_label(label) == label


def _picture(pixels: np.ndarray):
    from PIL import Image

    return Image.fromarray(pixels)
