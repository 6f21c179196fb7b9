from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.learning.augmentation import augment
from headstart.learning.configuration import AugmentationParameters


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_image_is_flipped_on_its_own() -> None:
    images = torch.rand(64, 3, 6, 5)
    both = AugmentationParameters(horizontal_flip=True, vertical_flip=True)
    out = augment(images, generator(0), both)
    seen = []
    for image, before in zip(out, images, strict=True):
        variants = [before, before.flip(2), before.flip(1), before.flip(1, 2)]
        found = [i for i, v in enumerate(variants) if torch.equal(image, v)]
        assert len(found) == 1
        seen += found
    assert min(np.bincount(seen, minlength=4)) >= 6


@given(
    height=st.integers(4, 12),
    width=st.integers(4, 12),
    shift=st.floats(0, 0.49),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_a_shift_is_a_window_of_the_mirrored_image(
    height: int, width: int, shift: float, seed: int
) -> None:
    images = torch.rand(5, 2, height, width)
    chosen = AugmentationParameters(horizontal_flip=False, shift=shift)
    out = augment(images, generator(seed), chosen)
    down, right = int(shift * height), int(shift * width)
    for image, before in zip(out.numpy(), images.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (down, down), (right, right)), mode="reflect")
        windows = [
            padded[:, i : i + height, j : j + width]
            for i in range(2 * down + 1)
            for j in range(2 * right + 1)
        ]
        assert any(np.array_equal(image, window) for window in windows)


def test_augmentation_is_fixed_by_the_generator_and_can_be_switched_off() -> None:
    images = torch.rand(16, 3, 8, 8)
    chosen = AugmentationParameters(shift=0.25)
    one, again, other = (augment(images, generator(s), chosen) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    off = AugmentationParameters(horizontal_flip=False)
    assert torch.equal(augment(images, generator(0), off), images)
