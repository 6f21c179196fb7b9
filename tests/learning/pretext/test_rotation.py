from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.configuration import TrainingParameters
from headstart.learning.encoders import normalize_
from headstart.learning.pretext.parameters import RotationParameters, ViewParameters
from headstart.learning.pretext.rotation import Rotation, rotate
from headstart.learning.pretext.task import Source
from headstart.learning.views import random_views

CONFIG = {"image_size": 12, "channels": 3, "mean": [0.5], "std": [0.5]}


@given(n=st.integers(1, 9), side=st.integers(1, 8), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_turning_back_gives_the_image(n: int, side: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, side, side, generator=generator)
    turns = torch.randint(4, (n,), generator=generator)
    turned = rotate(images, turns)
    assert torch.equal(rotate(turned, -turns), images)
    for image, same, k in zip(images, turned, turns.tolist(), strict=True):
        assert torch.equal(same, torch.from_numpy(np.rot90(image.numpy(), k, (1, 2)).copy()))


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_the_pseudo_labels_tell_how_to_turn_the_batch_back(seed: int) -> None:
    views = ViewParameters()
    parameters = RotationParameters(
        training=TrainingParameters(steps=1, epochs=1, batch_size=1, learning_rate=1), views=views
    )
    images = np.random.default_rng(seed).integers(256, size=(8, 16, 16, 3), dtype=np.uint8)
    task = Rotation(parameters, CONFIG, Source(images, np.arange(8)))
    batch = task.batch(torch.from_numpy(images), None, torch.Generator().manual_seed(seed))
    seen = random_views(torch.from_numpy(images), views, torch.Generator().manual_seed(seed), 12)
    assert torch.equal(rotate(batch["images"], -batch["turns"]), normalize_(seen, CONFIG))
