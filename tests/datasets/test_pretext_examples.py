from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from headstart.datasets import PretextExamplesDataset
from headstart.learning.pretext.task import Example, Examples


def test_pictures_and_captions_come_back(tmp_path: Path) -> None:
    pictures = [np.full((4, 5, 3), i, dtype=np.uint8) for i in range(3)]
    data = [
        Examples("cells", "rotation", [Example(pictures[:2], ["turned by 90°", "said 0°"])]),
        Examples("cells", "jigsaw", []),
        Examples("photographs", "colorization", [Example(pictures[2:], ["a"])] * 2),
    ]
    dataset = PretextExamplesDataset(filepath=str(tmp_path / "examples.safetensors"))
    dataset.save(data)
    loaded = dataset.load()
    assert [(e.source, e.task, len(e.examples)) for e in loaded] == [
        ("cells", "rotation", 1),
        ("cells", "jigsaw", 0),
        ("photographs", "colorization", 2),
    ]
    assert loaded[0].examples[0].captions == ["turned by 90°", "said 0°"]
    np.testing.assert_array_equal(loaded[0].examples[0].pictures[1], pictures[1])
    np.testing.assert_array_equal(loaded[2].examples[1].pictures[0], pictures[2])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "examples.safetensors"
    file.write_bytes(b"no safetensors")
    with pytest.raises(DatasetError, match=r"examples\.safetensors is damaged"):
        PretextExamplesDataset(filepath=str(file)).load()
