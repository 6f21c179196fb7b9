"""The ab plane of CIELAB in bins, as Zhang, Isola and Efros (2016, section 2) cut it.

With d_q the distance of a color from the center of bin q, a color is spread over its K nearest
bins (soft encoding), and a distribution p over bins is turned into a color again by its annealed
mean (their equation 5); T = 1 is the mean, T -> 0 the most probable bin:

    Z_q = exp(-d_q^2 / 2 sigma^2) / sum over the K nearest
    H(p) = sum_q p_q^(1/T) center_q / sum_q p_q^(1/T)
"""

from __future__ import annotations

import torch
from torch import nn

from headstart.learning.color import to_lab

_REACH = 110.0  # no color of sRGB is farther out, along a* or b*


class ColorBins(nn.Module):
    """Square bins of the ab plane that hold a color of sRGB.

    There are 261 of side 10 (the paper's list of 313 goes beyond what sRGB can show). A color
    outside of all bins belongs to the nearest one.

    Args:
        size: side of a bin, in CIELAB units.
        neighbors: bins that a color is spread over.
        sigma: of the Gaussian that weighs these, in CIELAB units.

    Attributes:
        centers: of the Q bins, shape (Q, 2).
    """

    centers: torch.Tensor
    table: torch.Tensor

    def __init__(self, size: float, neighbors: int, sigma: float):
        super().__init__()
        self.size, self.sigma = size, sigma
        cells = (_gamut_surface() / size).round().unique(dim=0)  # in order of a*, then b*
        self.neighbors = min(neighbors, len(cells))
        self.register_buffer("centers", cells * size)
        self.register_buffer("table", self._nearest_of_cells())

    def __len__(self) -> int:
        return len(self.centers)

    def nearest(self, ab: torch.Tensor) -> torch.Tensor:
        """The bin of each color: shape (..., 2) -> (...)."""
        return self.encode(ab)[0][..., 0]

    def encode(self, ab: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spread each color over its nearest bins.

        Args:
            ab: colors, shape (..., 2).

        Returns:
            The K nearest bins, nearest first, and their weights, which sum to one: (..., K) each.
        """
        reach = self.table.shape[0] // 2
        row, column = (ab / self.size).round().long().clamp(-reach, reach).add(reach).unbind(-1)
        candidates = self.table[row, column]
        distances = (self.centers[candidates] - ab[..., None, :]).square().sum(-1)
        nearest, order = distances.topk(self.neighbors, largest=False)
        weights = (-nearest / (2 * self.sigma**2)).softmax(-1)
        return candidates.gather(-1, order), weights

    def decode(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        """Annealed mean: log-probabilities of the bins, shape (..., Q), to colors (..., 2)."""
        return (logits / temperature).softmax(-1) @ self.centers

    def _nearest_of_cells(self) -> torch.Tensor:
        """For each cell of the plane, bins among which are the K nearest of any color in it.

        Shape (cells, cells, M). Wherever the color is in its cell, K bins are no farther than the
        K-th smallest of the bins' largest distances; so what is farther at its closest is out.
        """
        half = self.size / 2
        ticks = torch.arange(-int(_REACH // self.size) - 1, int(_REACH // self.size) + 2)
        cells = torch.cartesian_prod(ticks, ticks) * self.size
        apart = (cells[:, None] - self.centers[None]).abs()
        closest = (apart - half).clamp(min=0).norm(dim=2)
        farthest = (apart + half).norm(dim=2).kthvalue(self.neighbors, dim=1).values
        most = int((closest <= farthest[:, None]).sum(dim=1).max())
        return closest.topk(most, largest=False).indices.view(len(ticks), len(ticks), most)


def _gamut_surface() -> torch.Tensor:
    """The ab values of the surface of the cube of sRGB, shape (n, 2): no color lies farther out."""
    levels = torch.linspace(0, 1, 256)
    face = torch.cartesian_prod(levels, levels)
    colors = [
        torch.cat([face[:, :axis], torch.full((len(face), 1), end), face[:, axis:]], dim=1)
        for axis in range(3)
        for end in (0.0, 1.0)
    ]
    return to_lab(torch.cat(colors)[:, :, None, None])[:, 1:, 0, 0]
