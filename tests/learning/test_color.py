"""CIELAB against scikit-image, and what an encoder of lightness is fed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.color import lab2rgb, rgb2lab

from headstart.learning.color import lightness, to_lab, to_rgb
from headstart.learning.encoders import preprocess

PIXELS = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=3, max_side=4).map(lambda shape: (*shape, 3)),
    elements=st.floats(0, 1),
)
CONFIG = {"channels": 3, "image_size": None, "mean": [0.5], "std": [0.5]}


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).movedim(-1, -3)


@settings(max_examples=50, deadline=None)
@given(PIXELS)
def test_lab_is_that_of_scikit_image(pixels: np.ndarray) -> None:
    lab = to_lab(channels_first(pixels)).movedim(-3, -1).numpy()
    # It rounds the constants of f where that is straight: colors that are nearly black.
    np.testing.assert_allclose(lab, rgb2lab(pixels), atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(PIXELS)
def test_from_rgb_to_lab_and_back(pixels: np.ndarray) -> None:
    images = channels_first(pixels)
    torch.testing.assert_close(to_rgb(to_lab(images)), images, rtol=0, atol=1e-6)
    single = to_rgb(to_lab(images.float()))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, images.float(), rtol=0, atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.floats(0, 100), st.floats(-110, 110), st.floats(-110, 110)).map(
        lambda color: np.array([[color]])
    )
)
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")  # of colors out of the gamut
def test_any_lab_becomes_what_scikit_image_makes_of_it(lab: np.ndarray) -> None:
    # Its matrix is the inverse of the same one; a negative Z it sets to 0 before the gamut is met.
    rgb = to_rgb(channels_first(lab)).movedim(-3, -1).numpy()
    assert ((rgb >= 0) & (rgb <= 1)).all()
    if (lab[0, 0, 0] + 16) / 116 - lab[0, 0, 2] / 200 > 0:
        np.testing.assert_allclose(rgb, lab2rgb(lab), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(PIXELS.filter(lambda pixels: pixels.ndim == 4))
def test_lightness_is_that_of_lab(pixels: np.ndarray) -> None:
    images = channels_first(pixels)
    expected = to_lab(images)[:, :1] / 100
    torch.testing.assert_close(lightness(images), expected, rtol=0, atol=1e-9)
    gray = images[:, :1]
    as_color = to_lab(gray.expand(-1, 3, -1, -1))[:, :1] / 100
    torch.testing.assert_close(lightness(gray), as_color, rtol=0, atol=1e-9)


def test_black_middle_gray_and_white() -> None:
    gray = torch.tensor([0, 119 / 255, 1]).view(1, 1, 1, 3)
    # The value of 119 is the one that looks half as light as white.
    torch.testing.assert_close(
        lightness(gray).flatten(), torch.tensor([0.0, 0.5, 1.0]), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
def test_an_encoder_of_lightness_is_fed_lightness(channels: int, stored: int) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 6, 6, stored), dtype=np.uint8)
    config = {**CONFIG, "channels": channels, "lightness": True}
    fed = preprocess(torch.from_numpy(images), config)
    assert fed.shape == (2, channels, 6, 6)
    expected = rgb2lab(np.broadcast_to(images / 255, (2, 6, 6, 3)))[..., 0] / 100
    for channel in fed.unbind(1):
        np.testing.assert_allclose(channel * 0.5 + 0.5, expected, atol=1e-5)


def test_lightness_is_taken_of_the_resized_image() -> None:
    stripes = torch.tensor([[0, 255], [0, 255]], dtype=torch.uint8).repeat(4, 4)[None, :, :, None]
    fed = preprocess(stripes, {**CONFIG, "image_size": 2, "lightness": True})
    resized = preprocess(stripes, {**CONFIG, "image_size": 2, "mean": [0], "std": [1]})
    assert ((resized > 0.3) & (resized < 0.7)).all()
    expected = rgb2lab(resized.movedim(1, -1).numpy())[..., 0] / 100
    np.testing.assert_allclose(fed[:, 0] * 0.5 + 0.5, expected, atol=1e-5)


def test_other_encoders_see_colors_as_they_are() -> None:
    images = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    torch.testing.assert_close(
        preprocess(images, {**CONFIG, "lightness": False}),
        preprocess(images, CONFIG),
    )
    assert not torch.equal(*preprocess(images, CONFIG)[:, :2].unbind(1))
