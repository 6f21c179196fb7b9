"""Jigsaw: orders, tiles, and the puzzle as a whole."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.configuration import TrainingParameters
from headstart.learning.pretext.jigsaw import (
    Jigsaw,
    cut_tiles,
    maximal_permutations,
    normalize_tiles,
    shuffle,
    tile_size,
    unshuffle,
)
from headstart.learning.pretext.parameters import JigsawParameters, ViewParameters
from headstart.learning.pretext.task import Source

SOURCE = Source(np.zeros((1, 36, 36, 3), np.uint8), np.arange(1))
TRAINING = TrainingParameters(steps=1, epochs=1, batch_size=2, learning_rate=1e-3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(n: int, height: int = 36, width: int = 36, channels: int = 1) -> torch.Tensor:
    return torch.randint(
        256, (n, height, width, channels), dtype=torch.uint8, generator=generator(7)
    )


def puzzle(
    images: torch.Tensor, permutations: int = 8, gap: float = 0.1, image_size: int | None = None
) -> Jigsaw:
    parameters = JigsawParameters(training=TRAINING, permutations=permutations, gap=gap, hidden=32)
    config = {"channels": 3, "image_size": image_size, "mean": [0.5], "std": [0.5]}
    return Jigsaw(parameters, config, Source(images.numpy(), np.arange(len(images))))


class Oracle(nn.Module):
    """Says the given orders, whatever it sees."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.logits


# Orders


def test_orders_are_distinct_permutations_and_the_same_each_time() -> None:
    orders = maximal_permutations(64)
    assert orders.shape == (64, 9)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert len(np.unique(orders, axis=0)) == 64
    maximal_permutations.cache_clear()
    np.testing.assert_array_equal(maximal_permutations(64), orders)
    np.testing.assert_array_equal(maximal_permutations(65)[:64], orders)


def test_each_order_is_as_far_from_those_before_it_as_any_permutation_is() -> None:
    every = np.array(list(itertools.permutations(range(9))), dtype=float)
    orders = maximal_permutations(14)
    for i in (1, 4, 9, 10, 13):
        farthest = cdist(every, orders[:i], "hamming").min(axis=1).max()
        assert cdist(orders[i : i + 1], orders[:i], "hamming").min() == pytest.approx(farthest)


def test_orders_are_farther_apart_than_random_ones() -> None:
    rng = np.random.default_rng(0)
    least, mean = [], []
    for _ in range(50):
        distance = 9 * pdist(np.stack([rng.permutation(9) for _ in range(64)]), "hamming")
        least.append(distance.min())
        mean.append(distance.mean())
    distance = 9 * pdist(maximal_permutations(64), "hamming")
    assert distance.min() == pytest.approx(7)
    assert distance.min() >= max(least) + 2
    assert distance.mean() > max(mean) + 0.05


@pytest.mark.parametrize("count", [0, math.factorial(9) + 1])
def test_orders_that_do_not_exist_are_refused(count: int) -> None:
    with pytest.raises(HeadstartError, match=str(count)):
        maximal_permutations(count)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), count=st.integers(2, 100))
@settings(max_examples=40, deadline=None)
def test_a_puzzle_can_be_put_back_by_its_label(seed: int, n: int, count: int) -> None:
    orders = torch.from_numpy(maximal_permutations(count).copy())
    tiles = torch.randn(n, 9, 1, 2, 2, generator=generator(seed))
    label = torch.randint(count, (n,), generator=generator(seed))
    shuffled = shuffle(tiles, orders[label])
    assert torch.equal(unshuffle(shuffled, orders[label]), tiles)
    # Of all labels, only the true one puts the tiles back.
    for image, before, k in zip(shuffled, tiles, label.tolist(), strict=True):
        put_back = unshuffle(image.expand(count, -1, -1, -1, -1), orders)
        right = (put_back == before).flatten(1).all(dim=1)
        assert right.nonzero().flatten().tolist() == [k]


def test_place_i_shows_the_tile_that_the_order_names() -> None:
    order = torch.stack([torch.randperm(9, generator=generator(s)) for s in range(5)])
    numbered = torch.arange(9).expand(5, 9)
    assert torch.equal(shuffle(numbered, order), order)


# Tiles


@given(
    height=st.integers(12, 60),
    width=st.integers(12, 60),
    gap=st.floats(0, 0.3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_tiles_are_windows_of_their_cells_and_keep_the_gap(
    height: int, width: int, gap: float, seed: int
) -> None:
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    images = torch.stack([down, right]).expand(4, -1, -1, -1)  # each pixel says where it stands
    tiles = cut_tiles(images, gap, generator(seed))
    tall, wide = (cell - 2 * round(gap * cell) for cell in (height // 3, width // 3))
    assert tiles.shape == (4, 9, 2, tall, wide)
    starts = tiles[..., 0, 0]
    window = torch.stack(torch.meshgrid(torch.arange(tall), torch.arange(wide), indexing="ij"))
    assert torch.equal(tiles, starts[..., None, None] + window)
    for axis, (cell, size) in enumerate([(height // 3, tall), (width // 3, wide)]):
        free = round(gap * cell)
        place = starts[:, :, axis].unflatten(1, (3, 3))
        place = place if axis == 0 else place.transpose(1, 2)  # (n, position on the axis, other)
        cells = torch.arange(3)[:, None] * cell
        assert (place >= cells).all()
        assert (place + size <= cells + cell).all()
        between = place[:, 1:, :, None] - (place[:, :-1, None, :] + size)
        assert (between >= free).all()
        assert (between <= 3 * free).all()


def test_tiles_move_over_all_of_their_room_each_on_its_own() -> None:
    down, right = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    tiles = cut_tiles(torch.stack([down, right]).expand(500, -1, -1, -1), 0.2, generator())
    starts = tiles[..., 0, 0].flatten(1).double()  # (500, 18)
    for column in starts.T:
        values, counts = column.unique(return_counts=True)
        # Cells of 20 pixels, gaps of 4, half of one on either side: tiles of 12 within 2 ... 18.
        assert (values % 20).tolist() == [2, 3, 4, 5, 6]
        assert counts.min() > 60
    correlation = torch.corrcoef(starts.T) - torch.eye(18)
    assert correlation.abs().max() < 0.2


def test_tiles_have_their_own_mean_and_deviation_taken_out() -> None:
    tiles = torch.rand(3, 9, 3, 5, 6, generator=generator()) * 4 - 1
    normalized = normalize_tiles(tiles).double()
    assert normalized.mean(dim=(-2, -1)).abs().max() < 1e-5
    assert (normalized.var(dim=(-2, -1), correction=0) - 1).abs().max() < 1e-3
    flat = normalize_tiles(torch.full((1, 9, 3, 4, 4), 0.3))
    assert flat.abs().max() < 1e-3


def test_brightness_and_contrast_of_a_tile_cannot_be_seen() -> None:
    images = some_images(4) // 4
    task = puzzle(images)
    brighter = images * 2 + 30
    seen, other = (task.batch(x, None, generator(3)) for x in (images, brighter))
    torch.testing.assert_close(seen["tiles"], other["tiles"], atol=1e-3, rtol=0)


# The task


def test_a_batch_is_the_tiles_in_the_order_that_the_label_says() -> None:
    images = some_images(200, 30, 45, channels=3)
    task = puzzle(images)
    batch = task.batch(images, None, generator(1))
    assert batch["tiles"].shape == (200, 9, 3, 8, 11)
    # The tiles are drawn before the order: the same generator cuts them again.
    plain = normalize_tiles(cut_tiles(images.permute(0, 3, 1, 2) / 127.5 - 1, 0.1, generator(1)))
    orders = torch.from_numpy(maximal_permutations(8).copy())
    put_back = unshuffle(batch["tiles"], orders[batch["order"]])
    torch.testing.assert_close(put_back, plain, atol=1e-4, rtol=1e-4)
    assert batch["order"].bincount(minlength=8).min() >= 10


def test_a_random_crop_hides_the_grid_that_jpeg_leaves() -> None:
    """Flat images with a line every eight pixels: only the line's place tells the tiles apart."""
    pixels = np.full((256, 36, 36, 3), 120, np.uint8)
    pixels[:, ::8] = pixels[:, :, ::8] = 150
    images = torch.from_numpy(pixels)
    plain = puzzle(images)
    views = ViewParameters(smallest_crop=0.5, jitter=0.0, grayscale=0.0)
    cropped = Jigsaw(plain.parameters.model_copy(update={"views": views}), plain.config, SOURCE)
    # How much of a tile's pixels is settled by its place in the image, over 256 puzzles.
    settled = []
    for task in (plain, cropped):
        batch = task.batch(images, None, generator(1))
        tiles = unshuffle(batch["tiles"], task.orders[batch["order"]])
        settled.append((tiles.mean(dim=0).var() / tiles.var()).item())
    assert settled[1] < settled[0] / 3


def test_gray_images_are_resized_and_given_three_equal_channels() -> None:
    images = some_images(5, 28, 28)
    tiles = puzzle(images, image_size=48).batch(images, None, generator())["tiles"]
    assert tiles.shape == (5, 9, 3, 12, 12)
    assert torch.equal(tiles[:, :, 0], tiles[:, :, 2])


def test_the_loss_is_the_negative_log_probability_of_the_order() -> None:
    images = some_images(3)
    logits = torch.tensor([[2.0, 1.0, 0.5], [0.0, -1.0, 3.0], [0.1, 0.2, 0.3]])
    batch = {"tiles": torch.zeros(3, 9, 3, 4, 4), "order": torch.tensor([0, 1, 2])}
    loss, extras = puzzle(images, permutations=3).loss(Oracle(logits), batch)
    expected = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row)))
        for k, row in enumerate(logits.tolist())
    ]
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-6)
    assert extras["score"].item() == pytest.approx(2 / 3)
    assert puzzle(images, permutations=3).chance(10) == pytest.approx(1 / 3)


def test_the_encoder_sees_each_tile_alone_and_the_head_all_nine() -> None:
    images = some_images(4)
    encoder = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = puzzle(images).build(encoder, 5)
    tiles = torch.randn(4, 9, 3, 6, 6, generator=generator())
    features = torch.cat([encoder(tiles[:, i]) for i in range(9)], dim=1)
    first, second = model.head[0], model.head[2]
    by_hand = second(torch.relu(first(features)))
    torch.testing.assert_close(model(tiles), by_hand)
    assert by_hand.shape == (4, 8)
    assert model.encoder is encoder


def test_a_small_network_learns_where_tiles_of_rings_belong() -> None:
    """The slope of a tile points away from the center, which normalization does not hide."""
    torch.manual_seed(0)
    side = torch.linspace(-1, 1, 36)
    rings = 1 - (side[:, None] ** 2 + side**2).sqrt() / 1.5
    noise = 0.05 * torch.randn(256, 36, 36, generator=generator())
    images = ((rings + noise).clamp(0, 1) * 255).to(torch.uint8)[..., None]
    task = puzzle(images, permutations=6)
    encoder = nn.Sequential(
        nn.Conv2d(3, 16, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 16)
    )
    model = task.build(encoder, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    draw = generator(1)
    for step in range(60):
        part = images[:192][torch.randperm(192, generator=draw)[:48]]
        loss, _ = task.loss(model, task.batch(part, None, draw))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert math.isfinite(loss.item()), step
    with torch.no_grad():
        _, extras = task.loss(model, task.batch(images[192:], None, generator(2)))
    assert extras["score"].item() > 0.6  # chance: 1/6


def test_tiles_may_be_as_small_as_four_pixels() -> None:
    images = some_images(2, 18, 18)
    tiles = puzzle(images, gap=0.2).batch(images, None, generator())["tiles"]
    assert tiles.shape == (2, 9, 3, 4, 4)


@pytest.mark.parametrize(("size", "gap", "tile"), [(17, 0.2, 3), (48, 0.45, 2)])
def test_tiles_that_show_nothing_are_refused(size: int, gap: float, tile: int) -> None:
    images = some_images(2, size, size)
    with pytest.raises(HeadstartError, match=rf"{size} x {size} .* {tile} x {tile} pixels"):
        puzzle(images, gap=gap)


def test_tiles_that_a_vision_transformer_cannot_cut_are_refused() -> None:
    from timm.models import VisionTransformer

    encoder = VisionTransformer(
        48, patch_size=8, embed_dim=8, depth=1, num_heads=1, num_classes=0, dynamic_img_size=True
    )
    fitting, other = some_images(2, 48, 48), some_images(2, 54, 54)
    assert tile_size(16, 0.25) == (8, 4)
    task = puzzle(fitting, gap=0.25)
    model = task.build(encoder, 8)
    assert model(task.batch(fitting, None, generator())["tiles"]).shape == (2, 8)
    with pytest.raises(HeadstartError, match=r"14 x 14 .* 8 x 8"):
        puzzle(other).build(encoder, 8)


def test_examples_show_the_puzzle_and_how_the_model_puts_it_back() -> None:
    images = some_images(6)
    task = puzzle(images)
    order = task.batch(images, None, generator(5))["order"]
    said = order.clone()
    said[3:] = (said[3:] + 1) % 8
    logits = nn.functional.one_hot(said, 8).float()
    examples = task.examples(Oracle(logits), images, generator(5))
    assert [e.captions[0] for e in examples] == [f"order {k}" for k in order.tolist()]
    assert [e.captions[1] for e in examples] == [
        *(f"solved: order {k}" for k in said[:3].tolist()),
        *(f"not solved: order {k}" for k in said[3:].tolist()),
    ]
    pictures = np.stack([np.stack(e.pictures) for e in examples])
    tall = pictures.shape[2]
    assert pictures.shape == (6, 2, tall, tall, 3)
    assert pictures.dtype == np.uint8
    assert (pictures[:, :, 0] == 255).all()  # a white frame
    cells = pictures.reshape(6, 2, 3, tall // 3, 3, tall // 3, 3).swapaxes(3, 4)
    cells = cells.reshape(6, 2, 9, tall // 3, tall // 3, 3)
    orders = maximal_permutations(8)
    for (seen, put_back), k in zip(cells, said.tolist(), strict=True):
        np.testing.assert_array_equal(put_back[orders[k]], seen)
