"""The pretext task of docs/pretraining.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.pretext import pretrain as pretraining
from headstart.learning.pretext.parameters import HeldOutParameters, NetworkParameters
from headstart.learning.pretext.task import Source

PAGE = Path(__file__).parents[3] / "docs" / "pretraining.md"


@pytest.fixture
def example() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_a_piece_is_pasted_where_the_label_says_so(example: dict[str, Any]) -> None:
    training = TrainingParameters(steps=1, epochs=1, batch_size=8, learning_rate=1e-3)
    parameters = example["CutPasteParameters"](training=training, piece=0.25)
    images = np.random.default_rng(0).integers(256, size=(32, 16, 16, 3), dtype=np.uint8)
    config = {"image_size": 16, "channels": 3, "mean": [0.5], "std": [0.5]}
    task = example["CutPaste"](parameters, config, Source(images, np.arange(32)))
    batch = task.batch(torch.from_numpy(images), None, torch.Generator().manual_seed(0))
    plain = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    changed = (batch["images"] != plain).any(dim=1).sum(dim=(1, 2))
    whole = batch["pasted"] == 0
    assert 0 < whole.sum() < 32
    assert (changed[whole] == 0).all()
    assert (changed[~whole] <= 16).all()  # a piece of 4 x 4 pixels
    assert (changed[~whole] > 0).float().mean() > 0.9


def test_it_is_pretrained_like_the_others(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pretraining.TASKS, "cut_paste", example["CutPaste"])
    training = TrainingParameters(
        steps=2, epochs=2, batch_size=8, learning_rate=1e-3, evaluations=1
    )
    images = np.random.default_rng(0).integers(256, size=(24, 32, 32, 1), dtype=np.uint8)
    result = pretraining.pretrain(
        "cut_paste",
        Source(images, np.arange(24)),
        source_name="surfaces",
        network=NetworkParameters(architecture="small_resnet", image_size=32, seed=0),
        parameters=example["CutPasteParameters"](training=training, piece=0.25),
        held_out=HeldOutParameters(share=0.2, most=4, batch_size=4, examples=2, seed=0),
        batch_norm_rows=8,
        compute=ComputeParameters(device="cpu", progress=False),
    )
    assert result.encoder.name == "cut_paste"
    assert result.scores["chance"].iloc[0] == 0.5
    assert len(result.examples) == 2
