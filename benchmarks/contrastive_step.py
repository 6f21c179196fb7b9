"""A whole SimCLR step: ours against a plain loop over lightly's transform and loss.

    uv run python benchmarks/contrastive_step.py

Same network and projection head, same batch, same optimizer, same augmentation settings, one
thread, one process, the two in turns; processor time. Ours keeps images channels last in memory,
which lightly's loop does not. Two networks, for the larger one, the less can be gained: four
convolutions, where augmentation is a large share of lightly's step, and small_resnet, the default.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from augmentation import lightlys_views, our_views, photographs, seconds
from torch import nn

from headstart.learning.networks import NETWORKS
from headstart.learning.pretext.contrastive import info_nce

BATCH, STEPS, SIDE, ROUNDS, TEMPERATURE = 256, 4, 32, 5, 0.5


def four_convolutions() -> nn.Module:
    """Conv-4 (Vinyals et al. 2016) with strides in place of pooling: 32 to 256 channels."""
    channels = (3, 32, 64, 128, 256)
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        for a, b in pairwise(channels)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def step(
    network: Callable[[], nn.Module],
    views: Callable[[], object],
    loss: Callable[..., torch.Tensor],
    channels_last: bool,
) -> Callable[[], object]:
    """One training step: two views, forward, loss, backward, optimizer."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64))
    model = nn.Sequential(network(), head)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def once() -> None:
        first, second = model(torch.cat(list(views()))).chunk(2)  # type: ignore[call-overload]
        loss(first, second).backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def main() -> None:
    """Print images a second and their ratio."""
    from lightly.loss.ntx_ent_loss import NTXentLoss

    torch.set_num_threads(1)
    images: np.ndarray = photographs(BATCH, SIDE)
    networks = {
        "four convolutions": four_convolutions,
        "small_resnet": NETWORKS["small_resnet"],
    }
    for name, network in networks.items():
        ours = step(
            network,
            our_views(images, blur=0.0),
            lambda first, second: info_nce(first, second, TEMPERATURE),
            channels_last=True,
        )
        theirs = step(
            network, lightlys_views(images, blur=0.0), NTXentLoss(TEMPERATURE), channels_last=False
        )
        ours(), theirs()
        pairs = [(seconds(ours, STEPS), seconds(theirs, STEPS)) for _ in range(ROUNDS)]
        ratios = sorted(b / a for a, b in pairs)
        rate = [BATCH / statistics.median(times) for times in zip(*pairs, strict=True)]
        print(
            f"{name}, {SIDE} px, batch {BATCH}: ours {rate[0]:,.0f} images/s, "
            f"lightly {rate[1]:,.0f}; "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
