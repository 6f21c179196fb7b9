"""Contrastive pretraining: tell the other view of an image from the views of all others.

Two random views of each of N images make 2N inputs x_1 ... x_2N; the encoder and a small
projection head turn them into z_1 ... z_2N. With the similarity s(i, k) = cos(z_i, z_k) / tau,
and j(i) the other view of the same image, InfoNCE (van den Oord et al. 2018) in its SimCLR form
(Chen et al. 2020, equation 1) is

    L = - 1/2N  sum_i  log  exp s(i, j(i)) / sum_{k != i} exp s(i, k)

The projection head is thrown away afterwards. With several processes the sum over k goes over the
views of all of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import distributed, nn

from headstart.errors import HeadstartError
from headstart.learning.encoders import unnormalize
from headstart.learning.pretext.parameters import ContrastiveParameters
from headstart.learning.pretext.task import Batch, Example, PretextTask, to_picture
from headstart.learning.summed import summed


def info_nce(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE over two views of each image.

    Computed in at least float32 whatever the precision of the inputs: at small temperatures
    similarities are large, and their differences would drown in the rounding of bfloat16.

    Args:
        first: projections of one view of each image, shape (n, d), not normalized.
        second: of the other view, in the same order.
        temperature: tau.

    Returns:
        The mean over this process's 2n views (nats), a scalar.
    """
    return F.cross_entropy(*similarities(first, second, temperature))


def similarities(
    first: torch.Tensor, second: torch.Tensor, temperature: float, gather: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """How similar each view is to each other one.

    Args:
        first: as for `info_nce`; second likewise.
        second: see there.
        temperature: tau.
        gather: compare with the views of all processes, not of this one alone.

    Returns:
        s(i, k) of the 2n views here with all views everywhere, -inf where k is i itself; and the
        place j(i) of the other view of the same image, shape (2n,).
    """
    n = len(first)
    wide = torch.promote_types(first.dtype, torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        here = F.normalize(torch.cat([first, second]).to(wide), dim=1)
        everywhere, start = _gather(here) if gather else (here, 0)
        cosines = here @ everywhere.T
        places = torch.arange(2 * n, device=here.device)
        scaled = (cosines / temperature).scatter(1, start + places[:, None], -torch.inf)
    return scaled, start + places.roll(n)


def _gather(here: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The views of all processes, through which gradients flow back, and where ours start."""
    processes = _processes()
    if processes == 1:
        return here, 0
    counts = [torch.zeros(1, dtype=torch.int64, device=here.device) for _ in range(processes)]
    distributed.all_gather(counts, torch.tensor([len(here)], device=here.device))
    sizes = [int(count) for count in counts]
    start = sum(sizes[: distributed.get_rank()])
    # Shares of a batch may differ by one image: each is put in its place among zeros.
    return summed(F.pad(here, (0, 0, start, sum(sizes) - start - len(here)))), start


def _processes() -> int:
    there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if there else 1


class _Projected(nn.Module):
    """The encoder, and a head with one hidden layer on top."""

    def __init__(self, encoder: nn.Module, dimension: int, hidden: int, projection: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(dimension, hidden), nn.ReLU(), nn.Linear(hidden, projection)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        projections: torch.Tensor = self.head(self.encoder(images))
        return projections


class Contrastive(PretextTask[ContrastiveParameters]):
    """SimCLR.

    Its score is the share of views whose most similar other view, among the 2N - 1 of the batch, is
    that of the same image.
    """

    score = "retrieval accuracy"
    divisible = False

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """Encoder and projection head: (n, 3, H, W) -> (n, projection)."""
        p = self.parameters
        return _Projected(encoder, dimension, p.hidden, p.projection)

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """Two views of each image: `first` and `second`, (n, 3, size, size)."""
        first, second = (self.views(images, self.parameters.views, generator) for _ in range(2))
        return {"first": first, "second": second}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """InfoNCE, and the share of views that are nearest to their other one."""
        first, second = batch["first"], batch["second"]
        if len(first) * _processes() < 2:
            raise HeadstartError(
                "contrastive: a batch of one image has nothing to be compared with; use a larger "
                "pretraining.contrastive.training.batch_size."
            )
        one, other = model(torch.cat([first, second])).chunk(2)
        # Every process evaluates the same held-out images: nothing is to be gathered then.
        similar, partner = similarities(
            one, other, self.parameters.temperature, gather=model.training
        )
        found = (similar.argmax(dim=1) == partner).float().mean()
        return F.cross_entropy(similar, partner), {"score": found}

    def chance(self, n: int) -> float:
        """One of 2n - 1 other views."""
        return 1 / (2 * n - 1)

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """A view, the other view of the same image, and the one that the model finds nearest."""
        batch = self.batch(images, None, generator)
        views = torch.cat([batch["first"], batch["second"]])
        one, other = model(views).chunk(2)
        similar, partner = similarities(one, other, temperature=1.0, gather=False)
        pictures = to_picture(unnormalize(views, self.config))
        examples = []
        for i in range(len(images)):
            nearest, other = int(similar[i].argmax()), int(partner[i])
            examples.append(
                Example(
                    [pictures[i], pictures[other], pictures[nearest]],
                    [
                        "a view",
                        f"its other view, cosine {similar[i, other]:.2f}",
                        f"found nearest, cosine {similar[i, nearest]:.2f}: "
                        + ("right" if nearest == other else "wrong"),
                    ],
                )
            )
        return examples
