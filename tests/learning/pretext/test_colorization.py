"""Colorization: bins of the ab plane, rebalancing, the loss, and that it is learned."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab
from sklearn.metrics import d2_log_loss_score
from torch import nn

from headstart.learning.encoders import preprocess
from headstart.learning.pretext.color_bins import ColorBins
from headstart.learning.pretext.colorization import Colorization, rebalance, smooth
from headstart.learning.pretext.parameters import ColorizationParameters
from headstart.learning.pretext.task import CannotLearnError, Source

CONFIG = {
    **{"name": "colorization", "channels": 3, "image_size": 16, "mean": [0.5], "std": [0.5]},
    "lightness": True,
}
COLORS = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8)


def parameters(**options: Any) -> ColorizationParameters:
    training = {"learning_rate": 0.01, "steps": 10, "epochs": 1, "batch_size": 8}
    defaults: dict[str, Any] = {"training": training}
    defaults |= {"bin_size": 10, "neighbors": 5, "sigma": 5, "uniform_share": 0.5}
    defaults |= {"temperature": 0.38, "upsampling": 2, "prior_images": 100, "least_chroma": 2}
    return ColorizationParameters.model_validate({**defaults, **options})


@cache
def bins(neighbors: int = 5, size: float = 10) -> ColorBins:
    return ColorBins(size, neighbors, sigma=5)


def ab_of(colors: list[tuple[int, int, int]]) -> torch.Tensor:
    lab = rgb2lab(np.array([colors], dtype=np.uint8))[0]
    return torch.from_numpy(lab[:, 1:]).float()


def test_the_bins_are_those_that_hold_a_color_of_srgb() -> None:
    levels = np.arange(0, 256, 3)
    every = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3) / 255
    held = np.unique(np.round(rgb2lab(every)[0, :, 1:] / 10), axis=0)
    np.testing.assert_array_equal(bins().centers / 10, held)
    assert len(bins()) == 261  # near the paper's 313


@settings(max_examples=50, deadline=None)
@given(COLORS, st.sampled_from([1, 5, 9]), st.sampled_from([10, 25]))
def test_soft_encoding_is_a_gaussian_over_the_nearest_bins(
    colors: list[tuple[int, int, int]], neighbors: int, size: float
) -> None:
    ab = ab_of(colors)
    centers = bins(neighbors, size).centers.double()
    found, weights = bins(neighbors, size).encode(ab)
    distances = torch.cdist(ab.double(), centers)
    nearest = distances.sort(dim=1).values[:, :neighbors]
    torch.testing.assert_close(distances.gather(1, found), nearest, atol=1e-3, rtol=0)
    gaussian = torch.exp(-(nearest**2) / (2 * 5**2))
    expected = gaussian / gaussian.sum(dim=1, keepdim=True)
    torch.testing.assert_close(weights.double(), expected, atol=1e-4, rtol=0)
    assert all(len(set(row)) == neighbors for row in found.tolist())


@settings(max_examples=50, deadline=None)
@given(COLORS)
def test_a_color_is_its_bin_to_half_a_bin(colors: list[tuple[int, int, int]]) -> None:
    ab = ab_of(colors)
    bin_of = bins().nearest(ab)
    logits = nn.functional.one_hot(bin_of, len(bins())).float().log()
    decoded = bins().decode(logits, temperature=0.38)
    assert (decoded - ab).abs().max() <= 5.001
    # The mean of the five bins is never farther off than their spread.
    found, weights = bins().encode(ab)
    soft = torch.zeros(len(ab), len(bins())).scatter(1, found, weights)
    assert (bins().decode(soft.log(), temperature=1) - ab).norm(dim=1).max() <= 10


def test_centers_of_bins_come_back_exactly() -> None:
    centers = bins().centers
    assert torch.equal(bins().nearest(centers), torch.arange(len(centers)))
    found, weights = bins().encode(centers)
    soft = torch.zeros(len(centers), len(centers)).scatter(1, found, weights)
    torch.testing.assert_close(bins().decode(soft.log(), 0.01), centers, atol=1e-3, rtol=0)


def test_colors_beyond_the_gamut_have_the_nearest_bin() -> None:
    ab = torch.tensor([[-100.0, -100.0], [108.0, 108.0], [0.0, 109.0], [-60.0, -40.0]])
    distances = torch.cdist(ab, bins().centers)
    found = distances.gather(1, bins().nearest(ab)[:, None])
    torch.testing.assert_close(found, distances.min(dim=1, keepdim=True).values)


def test_the_annealed_mean_lies_between_the_mean_and_the_most_probable_bin() -> None:
    p = torch.zeros(len(bins()))
    p[:2] = torch.tensor([0.8, 0.2])
    first, second = bins().centers[:2]
    powers = torch.tensor([0.8, 0.2]) ** (1 / 0.38)
    expected = (powers[0] * first + powers[1] * second) / powers.sum()
    torch.testing.assert_close(bins().decode(p.log(), 0.38), expected)
    torch.testing.assert_close(bins().decode(p.log(), 1), 0.8 * first + 0.2 * second)


def test_weights_by_hand() -> None:
    # (1/2 p + 1/6)^-1 = (2.4, 3.75, 6), over their mean under p: 0.5 2.4 + 0.2 3.75 + 0 = 1.95.
    p = torch.tensor([0.5, 0.2, 0.0])
    mixed = torch.tensor([1 / (0.25 + 1 / 6), 1 / (0.1 + 1 / 6), 6.0])
    torch.testing.assert_close(rebalance(p, 0.5), mixed / (0.5 * 2.4 + 0.2 * 3.75))
    torch.testing.assert_close(
        rebalance(torch.tensor([0.75, 0.25]), 0.5), torch.tensor([1.6, 8 / 3]) / (1.2 + 2 / 3)
    )
    p = torch.tensor([0.5, 0.25, 0.25])
    torch.testing.assert_close(rebalance(p, 1), torch.ones(3))
    torch.testing.assert_close(rebalance(p, 0), torch.tensor([2.0, 4.0, 4.0]) / 3)
    torch.testing.assert_close(rebalance(torch.tensor([1.0, 0.0]), 0), torch.tensor([1.0, 0.0]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20).filter(any), st.floats(0, 1))
def test_weights_have_a_mean_of_one(counts: list[int], uniform_share: float) -> None:
    p = torch.tensor(counts, dtype=torch.float64)
    p /= p.sum()
    assert (p * rebalance(p, uniform_share)).sum() == pytest.approx(1)


def test_smoothing_by_hand() -> None:
    centers = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    far = np.exp(-0.5)  # five units apart, sigma 5
    expected = torch.tensor([1.0, far]) / (1 + far)
    torch.testing.assert_close(smooth(torch.tensor([1.0, 0.0]), centers, 5), expected.float())


def colored(n: int = 8, seed: int = 0, size: int = 16) -> np.ndarray:
    """Blocks of 4 x 4 pixels; the darker ones are reddish, the lighter ones blueish."""
    generator = np.random.default_rng(seed)
    lightness = generator.uniform(30, 70, (n, size // 4, size // 4, 1))
    ab = np.where(lightness < 50, [35, 20], [-5, -35])
    lab = np.concatenate([lightness, ab], axis=3).repeat(4, axis=1).repeat(4, axis=2)
    return (lab2rgb(lab) * 255).round().astype(np.uint8)


def task(images: np.ndarray | None = None, **options: Any) -> Colorization:
    images = colored() if images is None else images
    return Colorization(parameters(**options), CONFIG, Source(images, np.arange(len(images))))


class Network(nn.Module):
    """Two convolutions: (n, 3, 16, 16) -> feature map (n, 24, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 24, 4, stride=4), nn.ReLU(), nn.Conv2d(24, 24, 1))

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images).relu()


class Says(nn.Module):
    """Says the same whatever it is shown."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


GENERATOR = torch.Generator()


def test_the_network_sees_lightness_and_never_colors() -> None:
    images = torch.from_numpy(colored(3, size=32))
    batch = task().batch(images, None, GENERATOR)
    torch.testing.assert_close(batch["images"], preprocess(images, CONFIG), atol=1e-5, rtol=0)
    assert torch.equal(*batch["images"][:, :2].unbind(1))
    # Colors are those of the resized image.
    plain = {**CONFIG, "lightness": False, "mean": [0], "std": [1]}
    resized = preprocess(images, plain).movedim(1, 3).numpy()
    np.testing.assert_allclose(batch["ab"].movedim(1, 3), rgb2lab(resized)[..., 1:], atol=1e-2)


def test_the_loss_by_hand() -> None:
    colorize = task(prior_images=3)
    ab = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 30
    logits = torch.randn(2, 261, 2, 2, generator=torch.Generator().manual_seed(1))
    loss, _ = colorize.loss(Says(logits), {"images": torch.zeros(2, 3, 4, 4), "ab": ab})
    expected = 0.0
    for image in range(2):
        for row in range(2):
            for column in range(2):
                square = ab[image, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                color = square.mean(dim=(1, 2))
                d2 = (bins().centers - color).square().sum(1)
                nearest = d2.argsort()[:5]
                z = torch.exp(-d2[nearest] / 50)
                z /= z.sum()
                log_p = logits[image, :, row, column].log_softmax(0)[nearest]
                expected -= float(colorize.weights[nearest[0]] * (z * log_p).sum()) / 8
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_a_source_raise_its_rare_color() -> None:
    images = np.concatenate([np.full((9, 16, 16, 3), (200, 60, 60)), np.full((1, 16, 16, 3), 90)])
    colorize = task(images.astype(np.uint8))
    often, seldom = (
        colorize.weights[bins().nearest(ab_of([color]))] for color in [(200, 60, 60), (90, 90, 90)]
    )
    smoothing = smooth(torch.eye(261), bins().centers, 5)
    of = [int(bins().nearest(ab_of([color]))) for color in [(200, 60, 60), (90, 90, 90)]]
    p = 0.9 * smoothing[of[0]] + 0.1 * smoothing[of[1]]
    expected = (0.5 * p[of[0]] + 0.5 / 261) / (0.5 * p[of[1]] + 0.5 / 261)
    assert (seldom / often).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_score_is_the_deviance_explained_of_scikit_learn() -> None:
    colorize = task(neighbors=1)
    generator = torch.Generator().manual_seed(0)
    ab = torch.randn(4, 2, 3, 3, generator=generator) * 30
    logits = torch.randn(4, 261, 3, 3, generator=generator)
    batch = {"images": torch.zeros(4, 3, 3, 3), "ab": ab}
    _, extras = colorize.loss(Says(logits), batch)
    truth = bins(1).nearest(ab.movedim(1, 3)).flatten()
    said = logits.movedim(1, 3).flatten(0, 2).double().softmax(1)
    said /= said.sum(1, keepdim=True)
    expected = d2_log_loss_score(
        truth, said, sample_weight=colorize.weights[truth], labels=np.arange(261)
    )
    assert extras["score"].item() == pytest.approx(expected, rel=1e-4)


def test_the_truth_scores_one_and_one_answer_for_all_zero_at_most() -> None:
    colorize = task()
    ab = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * 30
    found, shares = bins().encode(ab.movedim(1, 3))
    z = torch.zeros(4, 3, 3, 261).scatter(3, found, shares)
    batch = {"images": torch.zeros(4, 3, 3, 3), "ab": ab}

    def score(p: torch.Tensor) -> float:
        logits = p.clamp(min=1e-30).log().expand(4, 3, 3, 261).movedim(3, 1)
        return colorize.loss(Says(logits), batch)[1]["score"].item()

    assert score(z) == pytest.approx(1, abs=1e-3)
    weights = colorize.weights[found[..., 0]][..., None]
    best = (weights * z).sum(dim=(0, 1, 2)) / weights.sum()
    assert score(best) == pytest.approx(0, abs=1e-4) == colorize.chance(4)
    for other in (torch.ones(261) / 261, z.mean(dim=(0, 1, 2)), z[0, 0, 0]):
        assert score(other) < 0


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_sources_are_refused(channels: int) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)
    with pytest.raises(CannotLearnError, match=r"images are gray: there is no color to learn from"):
        task(gray.repeat(channels, axis=3))


def test_a_source_with_hardly_any_color_is_refused_and_says_how_little() -> None:
    faint = np.full((4, 16, 16, 3), (101, 100, 99), dtype=np.uint8)
    chroma = np.linalg.norm(rgb2lab(faint)[..., 1:], axis=3).mean()
    with pytest.raises(CannotLearnError, match=rf"chroma is {chroma:.2g}, least_chroma is 2"):
        task(faint)
    task(faint, least_chroma=chroma - 0.01)


def test_only_the_rows_of_the_source_count() -> None:
    images = np.concatenate([np.full((4, 16, 16, 3), 128, dtype=np.uint8), colored(4)])
    Colorization(parameters(), CONFIG, Source(images, np.arange(4, 8)))
    with pytest.raises(CannotLearnError):
        Colorization(parameters(), CONFIG, Source(images, np.arange(4)))


def trained(colorize: Colorization, steps: int) -> nn.Module:
    torch.manual_seed(0)
    model = colorize.build(Network(), 24)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = colorize.batch(torch.from_numpy(colored(16)), None, GENERATOR)
    for _ in range(steps):
        optimizer.zero_grad()
        colorize.loss(model, batch)[0].backward()
        optimizer.step()
    return model.eval()


def test_color_that_follows_from_lightness_is_learned() -> None:
    colorize = task()
    unseen = colorize.batch(torch.from_numpy(colored(16, seed=9)), None, GENERATOR)
    before, after = (colorize.loss(trained(colorize, steps), unseen) for steps in (0, 80))
    assert after[0] < 0.7 * before[0]
    assert before[1]["score"] < 0.05
    assert after[1]["score"] > 0.6


def test_examples_show_lightness_truth_and_prediction() -> None:
    colorize = task()
    images = torch.from_numpy(colored(3, seed=9))
    model = trained(colorize, 80)
    with torch.no_grad():
        examples = colorize.examples(model, images, GENERATOR)
    assert len(examples) == 3
    for example, image in zip(examples, images.numpy(), strict=True):
        assert [p.shape for p in example.pictures] == [(16, 16, 3)] * 3
        assert len(example.captions) == 3
        seen, true, predicted = example.pictures
        np.testing.assert_array_equal(true, image)
        np.testing.assert_allclose(seen[..., 0] / 2.55, rgb2lab(true)[..., 0], atol=0.3)
        assert (seen == seen[..., :1]).all()
        # Nearer to the truth than gray of the same lightness is.
        off, gray = (
            np.linalg.norm((rgb2lab(p) - rgb2lab(true))[..., 1:], axis=2).mean()
            for p in (predicted, seen)
        )
        assert off < gray / 2
