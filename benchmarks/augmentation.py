"""Random views a second: ours, a batch at once, against lightly's, a PIL image at a time.

    uv run python benchmarks/augmentation.py

Both crop, flip, jitter, take colors away and normalize with the same settings, without blur at 32
pixels (as SimCLR does on CIFAR) and with it at 96. One thread, one process, the two in turns; what
is compared is processor time, which other programs disturb less than the clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from headstart.learning.encoders import normalize_
from headstart.learning.pretext.parameters import ViewParameters
from headstart.learning.views import random_views

BATCH, BATCHES, ROUNDS = 256, 8, 7
CONFIG = {"channels": 3, "mean": [0.5], "std": [0.5]}


def photographs(n: int, side: int) -> np.ndarray:
    """Smooth colors with some noise: uint8, shape (n, side, side, 3)."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(n, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (side, side), mode="bicubic")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    pixels = (noisy.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1)
    return pixels.contiguous().numpy()


def our_views(images: np.ndarray, blur: float) -> Callable[[], object]:
    """Two views of each image of a batch, ours."""
    parameters = ViewParameters(
        smallest_crop=0.08,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        blur=blur,
    )
    generator = torch.Generator().manual_seed(0)
    batch = torch.from_numpy(images)
    size = images.shape[1]
    return lambda: [
        normalize_(random_views(batch, parameters, generator, size), CONFIG) for _ in range(2)
    ]


def lightlys_views(images: np.ndarray, blur: float) -> Callable[[], object]:
    """Two views of each image of a batch, lightly's."""
    from lightly.transforms.simclr_transform import SimCLRTransform

    transform = SimCLRTransform(
        input_size=images.shape[1],
        gaussian_blur=blur,
        normalize={"mean": CONFIG["mean"] * 3, "std": CONFIG["std"] * 3},
    )
    pictures = [Image.fromarray(image) for image in images]

    def both() -> object:
        pairs = [transform(picture) for picture in pictures]
        return [torch.stack(views) for views in zip(*pairs, strict=True)]

    return both


def seconds(job: Callable[[], object], calls: int = 1) -> float:
    """Processor time of a call, on average over several in a row, as in a training."""
    started = time.process_time()
    for _ in range(calls):
        job()
    return (time.process_time() - started) / calls


def main() -> None:
    """Print images a second and their ratio."""
    torch.set_num_threads(1)
    # A training has freed tensors of this size before, and the C library then keeps memory for the
    # next ones. Without, the time to get each page from the system anew would be measured.
    torch.zeros(2**22)
    for side, blur in ((32, 0.0), (32, 0.5), (96, 0.5)):
        images = photographs(BATCH, side)
        ours, theirs = our_views(images, blur), lightlys_views(images, blur)
        ours(), theirs()
        pairs = [(seconds(ours, BATCHES), seconds(theirs, BATCHES)) for _ in range(ROUNDS)]
        ratios = sorted(b / a for a, b in pairs)
        rate = [2 * BATCH / statistics.median(times) for times in zip(*pairs, strict=True)]
        print(
            f"{side} px, blur {blur:g}: ours {rate[0]:,.0f} views/s, lightly {rate[1]:,.0f}; "
            f"ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        )


if __name__ == "__main__":
    main()
