"""A whole SimCLR step: ours against a plain loop over lightly's transform and loss.

    uv run python benchmarks/contrastive_step.py

Same network (small_resnet) and projection head, same batch, same optimizer, same augmentation
settings, one thread, one process, the two in turns; processor time. Ours keeps images channels last
in memory, which lightly's loop does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from augmentation import lightlys_views, our_views, photographs, seconds
from torch import nn

from headstart.learning.networks import NETWORKS
from headstart.learning.pretext.contrastive import info_nce

BATCH, SIDE, ROUNDS, TEMPERATURE = 256, 32, 5, 0.5


def step(
    views: Callable[[], object], loss: Callable[..., torch.Tensor], channels_last: bool
) -> Callable[[], object]:
    """One training step: two views, forward, loss, backward, optimizer."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64))
    model = nn.Sequential(NETWORKS["small_resnet"](), head)
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
    ours = step(
        our_views(images, blur=0.0),
        lambda first, second: info_nce(first, second, TEMPERATURE),
        channels_last=True,
    )
    theirs = step(lightlys_views(images, blur=0.0), NTXentLoss(TEMPERATURE), channels_last=False)
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    ratios = sorted(b / a for a, b in pairs)
    rate = [BATCH / statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{SIDE} px, batch {BATCH}: ours {rate[0]:,.0f} images/s, lightly {rate[1]:,.0f}; "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
