"""Training nodes with `compute.processes: 2`: the tables are those of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import random_network
from headstart.learning.images import ImageStore
from headstart.learning.pretext.parameters import (
    HeldOutParameters,
    NetworkParameters,
    RotationParameters,
    ViewParameters,
)
from headstart.pipelines.checking import plan_table
from headstart.pipelines.fine_tuning.nodes import fine_tune
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters
from headstart.pipelines.pretraining.nodes import pretrain

COMPUTES = [
    ComputeParameters(device="cpu", parallel_fits=1, progress=False, processes=n) for n in (1, 2)
]
TRAINING = {"steps": 3, "epochs": 9, "batch_size": 5, "learning_rate": 1e-3, "evaluations": 1}
COST = ["train_seconds", "peak_memory_bytes"]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Images that are read from disk when they are looked at, as the catalog gives them."""
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    index = pd.DataFrame({"path": "", "label": None, "digest": [f"{i:02}" for i in range(24)]})
    return ImageStore(np.load(tmp_path / "images.npy", mmap_mode="r"), index, index[:0])


def test_pretraining(store: ImageStore, tmp_path: Path) -> None:
    one, two = (
        pretrain(
            *("rotation", "noise", False, store, pd.DataFrame({"row": np.arange(24)})),
            CheckpointFolder(tmp_path / str(compute.processes)),
            NetworkParameters(architecture="small_resnet", image_size=16, seed=0),
            HeldOutParameters(share=0.2, most=4, batch_size=4, examples=1, seed=0),
            batch_norm_rows=8,
            parameters=RotationParameters(views=ViewParameters(), training=TRAINING),
            compute=compute,
            plan=plan_table([]),
        )
        for compute in COMPUTES
    )
    assert one[0].config == two[0].config
    for table, other in zip(one[1:3], two[1:3], strict=True):
        pd.testing.assert_frame_equal(
            *(t.drop(columns=COST, errors="ignore") for t in (table, other)), atol=1e-5
        )


def test_fine_tuning(store: ImageStore, tmp_path: Path) -> None:
    row = np.arange(24)
    splits = pd.DataFrame({"row": row, "class": row % 2, "split": "development", "label": "a"})
    splits.loc[row < 6, "split"] = "test"
    roles = [("train", range(6, 15)), ("validation", range(15, 20))]
    draws = pd.DataFrame(
        [(None, seed, role, r) for seed in (0, 1) for role, rows in roles for r in rows],
        columns=["shots", "seed", "role", "row"],
    ).astype({"shots": "Int64"})
    block = {"training": TRAINING, "batch_norm": "train"}
    parameters = FineTuningParameters.model_validate(
        {"seeds": 2, "seeds_all": 2, "fine_tune": block, "from_scratch": block}
    )
    tables: list[Any] = [
        fine_tune(
            *("noise", store, splits, draws, random_network("small_resnet", 16, seed=0)),
            *(CheckpointFolder(tmp_path / str(compute.processes)), parameters, compute),
            plan=plan_table([]),
        )
        for compute in COMPUTES
    ]
    for one, two in zip(*tables, strict=True):
        assert len(one)
        pd.testing.assert_frame_equal(
            *(t.drop(columns=COST, errors="ignore") for t in (one, two)), atol=1e-4
        )
