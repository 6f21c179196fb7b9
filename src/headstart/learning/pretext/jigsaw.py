"""Jigsaw: in which order do the nine tiles of an image stand? (Noroozi and Favaro 2016).

    L = -log p(k | x_pi(1), ..., x_pi(9)),    pi = pi_k, k drawn uniformly from 1 ... P
    p(. | x_1, ..., x_9) = softmax(g([f(x_1), ..., f(x_9)]))

f, the encoder, sees each tile x_i alone, so that only the head g can compare them. The P orders
pi_k are as far from each other as possible, so that one tile more or less tells nothing.

Three things keep the network from matching tiles without knowing what they show: there is a gap
between tiles, and its width is random, so that edges do not continue; and each tile has its own
mean and standard deviation taken out, so that brightness and the lens's color fringes do not tell
where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import chain, permutations
from math import factorial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.encoders import preprocess
from headstart.learning.pretext.parameters import JigsawParameters
from headstart.learning.pretext.task import Batch, Example, PretextTask, Source, to_picture

GRID = 3  # cells a side
TILES = GRID * GRID
LEAST_TILE = 4  # pixels a side, below which a tile shows nothing
_FLAT = 1e-6  # added to a tile's variance; one gray level is 6e-5


@cache
def maximal_permutations(count: int) -> np.ndarray:
    """Orders of nine tiles that differ in as many places as possible.

    Greedy, as algorithm 1 of Noroozi and Favaro (2016): beginning with the identity, the next is
    always the one that is farthest from those there are. Theirs goes by the sum of the Hamming
    distances alone, which lets in pairs that differ by one swap; here the least distance counts
    first, then the sum, then the lexicographic order. (64 orders: least distance 7 in place of
    2, mean 8.12 in place of 8.13.)

    Args:
        count: P, how many.

    Returns:
        int64, shape (P, 9), rows distinct; always the same, and not to be written to.

    Raises:
        HeadstartError: there are not so many.
    """
    if not 1 <= count <= factorial(TILES):
        raise HeadstartError(
            f"jigsaw.permutations: {count} orders are asked for; nine tiles have between 1 and "
            f"{factorial(TILES)}."
        )
    every = np.fromiter(chain.from_iterable(permutations(range(TILES))), dtype=np.uint8)
    places = np.ascontiguousarray(every.reshape(-1, TILES).T)  # (9, 9!), one comparison a row
    least = np.full(places.shape[1], TILES, dtype=np.int64)
    total = np.zeros_like(least)
    chosen = [0]
    while len(chosen) < count:
        distance = (places != places[:, chosen[-1], None]).sum(axis=0, dtype=np.uint8)
        least = np.minimum(least, distance)  # zero for those that are chosen
        total += distance
        chosen.append(int((least * (TILES * count) + total).argmax()))
    orders = places.T[chosen].astype(np.int64)
    orders.setflags(write=False)
    return orders


def tile_size(cell: int, gap: float) -> tuple[int, int]:
    """Pixels a side of a tile, and of the gap.

    Twice the gap is free in each cell: one keeps the distance, in the other the tile moves.

    Args:
        cell: pixels a side of a cell.
        gap: as a share of it; rounded to whole pixels.
    """
    free = round(gap * cell)
    return cell - 2 * free, free


def cut_tiles(images: torch.Tensor, gap: float, generator: torch.Generator) -> torch.Tensor:
    """Nine tiles of each image, each from a random place within its cell of a 3 x 3 grid.

    Neighboring tiles are between one and three gaps apart. Where three does not divide a side, up
    to two pixels at its end are left out.

    Args:
        images: shape (n, C, H, W), on the generator's device.
        gap: between tiles, at least, as a share of a cell's side.
        generator: of the places.

    Returns:
        Shape (n, 9, C, h, w), row by row from the top left.
    """
    n, _, height, width = images.shape
    cells = torch.arange(TILES, device=images.device)
    down = _places(n, cells // GRID, height // GRID, gap, generator)
    right = _places(n, cells % GRID, width // GRID, gap, generator)
    image = torch.arange(n, device=images.device)[:, None, None, None]
    # Advanced indices on both sides of the channels put these last: (n, 9, h, w, C).
    return images[image, :, down[..., :, None], right[..., None, :]].movedim(-1, 2)


def _places(
    n: int, position: torch.Tensor, cell: int, gap: float, generator: torch.Generator
) -> torch.Tensor:
    """Which pixels along one side each tile shows, shape (n, 9, tile)."""
    tile, free = tile_size(cell, gap)
    start = torch.randint(free + 1, (n, TILES), generator=generator, device=position.device)
    start = start + position * cell + free // 2
    return start[..., None] + torch.arange(tile, device=position.device)


def normalize_tiles(tiles: torch.Tensor) -> torch.Tensor:
    """Each channel of each tile with mean 0 and standard deviation 1; 0 where it is flat.

    Args:
        tiles: shape (n, 9, C, h, w).
    """
    variance, mean = torch.var_mean(tiles, dim=(-2, -1), correction=0, keepdim=True)
    return (tiles - mean) / (variance + _FLAT).sqrt()


def shuffle(tiles: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Tiles in an order of their own for each image: place i shows tile `order[:, i]`.

    Args:
        tiles: shape (n, 9, ...).
        order: int64, shape (n, 9), each row a permutation of 0 ... 8.
    """
    return tiles[torch.arange(len(tiles), device=tiles.device)[:, None], order]


def unshuffle(tiles: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """The inverse of `shuffle` with the same order.

    Args:
        tiles: shape (n, 9, ...).
        order: int64, shape (n, 9), each row a permutation of 0 ... 8.
    """
    return shuffle(tiles, order.argsort(dim=1))


class JigsawNetwork(nn.Module):
    """Encoder f of each tile alone, and head g that joins the nine: (n, 9, 3, h, w) -> (n, P).

    Args:
        encoder: (n, 3, h, w) -> (n, D).
        dimension: D.
        hidden: units between encoder and logits.
        permutations: P.
    """

    def __init__(self, encoder: nn.Module, dimension: int, hidden: int, permutations: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(TILES * dimension, hidden), nn.ReLU(), nn.Linear(hidden, permutations)
        )

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits of the orders, shape (n, P)."""
        single = tiles.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features: torch.Tensor = self.encoder(single).unflatten(0, (-1, TILES))
        logits: torch.Tensor = self.head(features.flatten(1))
        return logits


class Jigsaw(PretextTask[JigsawParameters]):
    """Tell the order of the shuffled tiles of a 3 x 3 puzzle. Score: accuracy; chance 1 / P.

    Raises:
        HeadstartError: the tiles would be smaller than 4 pixels.
    """

    def __init__(self, parameters: JigsawParameters, config: Mapping[str, Any], source: Source):
        super().__init__(parameters, config, source)
        size = config["image_size"]
        height, width = source.images.shape[1:3] if size is None else (size, size)
        self.tile = tuple(tile_size(side // GRID, parameters.gap)[0] for side in (height, width))
        if min(self.tile) < LEAST_TILE:
            raise HeadstartError(
                f"jigsaw: images of {height} x {width} pixels and a gap of {parameters.gap:g} of "
                f"a cell give tiles of {max(self.tile[0], 0)} x {max(self.tile[1], 0)} pixels; "
                f"they need {LEAST_TILE} at least. Set a larger image_size or a smaller gap."
            )
        self.orders = torch.from_numpy(maximal_permutations(parameters.permutations).copy())

    def build(self, encoder: nn.Module, dimension: int) -> nn.Module:
        """Encoder and head.

        Raises:
            HeadstartError: the encoder cuts images into patches that do not divide the tiles.
        """
        embedding = getattr(encoder, "patch_embed", None)
        patch = (1, 1) if embedding is None else embedding.patch_size
        if any(side % length for side, length in zip(self.tile, patch, strict=True)):
            raise HeadstartError(
                f"jigsaw: tiles of {self.tile[0]} x {self.tile[1]} pixels cannot be cut into this "
                f"network's patches of {patch[0]} x {patch[1]}. Set image_size and gap so that "
                "image_size / 3 * (1 - 2 * gap) is a multiple of them."
            )
        parameters = self.parameters
        return JigsawNetwork(encoder, dimension, parameters.hidden, parameters.permutations)

    def batch(
        self, images: torch.Tensor, labels: torch.Tensor | None, generator: torch.Generator
    ) -> Batch:
        """`tiles`: shuffled, float32 (n, 9, 3, h, w); `order`: the pseudo-label, int64 (n,)."""
        if self.parameters.views is None:
            images = preprocess(images, self.config)
        else:
            images = self.views(images, self.parameters.views, generator)
        tiles = normalize_tiles(cut_tiles(images, self.parameters.gap, generator))
        order = torch.randint(
            len(self.orders), (len(images),), generator=generator, device=images.device
        )
        return {"tiles": shuffle(tiles, self.orders.to(images.device)[order]), "order": order}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy of the order, in nats, and accuracy."""
        logits = model(batch["tiles"]).float()
        right = logits.detach().argmax(dim=1) == batch["order"]
        return F.cross_entropy(logits, batch["order"]), {"score": right.float().mean()}

    def chance(self, n: int) -> float:
        """1 / P."""
        return 1 / self.parameters.permutations

    def examples(
        self, model: nn.Module, images: torch.Tensor, generator: torch.Generator
    ) -> list[Example]:
        """The puzzle as it is seen, and put back as the model says."""
        batch = self.batch(images, None, generator)
        with torch.no_grad():
            predicted = model(batch["tiles"]).argmax(dim=1)
        solved = unshuffle(batch["tiles"], self.orders.to(predicted.device)[predicted])
        examples = []
        for seen, put_back, true, said in zip(
            _assemble(batch["tiles"]),
            _assemble(solved),
            batch["order"].tolist(),
            predicted.tolist(),
            strict=True,
        ):
            answer = f"solved: order {said}" if said == true else f"not solved: order {said}"
            examples.append(Example([seen, put_back], [f"order {true}", answer]))
        return examples


def _assemble(tiles: torch.Tensor) -> np.ndarray:
    """Normalized tiles (n, 9, 3, h, w) as pictures of the 3 x 3 grid, with white in between."""
    # Black and white lie 2.5 standard deviations from a tile's mean.
    border = max(1, tiles.shape[-1] // 8)
    framed = F.pad(0.5 + tiles / 5, (border, border, border, border), value=1.0)
    rows = torch.cat(framed.unflatten(1, (GRID, GRID)).unbind(2), dim=-1)  # (n, 3, 3, h, 3 w)
    return to_picture(torch.cat(rows.unbind(1), dim=-2))
