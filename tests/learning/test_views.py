"""Every step against torchvision's function of that name, with the same numbers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from headstart.learning.pretext.parameters import ViewParameters
from headstart.learning.views import Views, apply_views, draw_views, random_views

GRAY_LEVEL = 1 / 255
EVERYTHING = ViewParameters(
    smallest_crop=0.2, vertical_flip=0.5, jitter=0.8, hue=0.2, grayscale=0.3, blur=0.5
)


def images(n: int, height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(n, channels, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")
    noise = 0.1 * torch.rand(n, channels, height, width, generator=generator)
    return ((smooth + noise).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def still(n: int, height: int, width: int) -> Views:
    """Views that change nothing."""
    no, one = torch.zeros(n, dtype=torch.bool), torch.ones(n)
    return Views(
        top=torch.zeros(n, dtype=torch.long),
        left=torch.zeros(n, dtype=torch.long),
        height=torch.full((n,), height),
        width=torch.full((n,), width),
        **{"horizontal_flip": no, "vertical_flip": no, "jitter": no, "grayscale": no, "blur": no},
        **{"brightness": one, "contrast": one, "saturation": one},
        hue=torch.zeros(n),
        blur_sigma=one,
    )


def by_torchvision(image: torch.Tensor, view: Views, size: int) -> torch.Tensor:
    """One view of one image (H, W, C)."""
    x = image.permute(2, 0, 1) / 255
    top, left, height, width = (int(getattr(view, k)) for k in ("top", "left", "height", "width"))
    x = tv.resized_crop(x, top, left, height, width, [size, size], antialias=True)
    x = tv.horizontal_flip(x) if view.horizontal_flip else x
    x = tv.vertical_flip(x) if view.vertical_flip else x
    if view.jitter:
        x = tv.adjust_brightness(x, float(view.brightness))
        x = tv.adjust_contrast(x, float(view.contrast))
        if len(x) == 3:
            x = tv.adjust_saturation(x, float(view.saturation))
            x = tv.adjust_hue(x, float(view.hue))
    if view.grayscale and len(x) == 3:
        x = tv.rgb_to_grayscale(x, num_output_channels=3)
    if view.blur:
        side = 2 * max(size // 20, 1) + 1
        x = tv.gaussian_blur(x, [side, side], [float(view.blur_sigma)] * 2)
    return x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (40, 56, 24), (20, 24, 48)])
def test_whole_views_are_torchvisions(height: int, width: int, size: int, channels: int) -> None:
    x = images(24, height, width, channels)
    views = draw_views(24, height, width, EVERYTHING, torch.Generator().manual_seed(1))
    ours = apply_views(x, views, size)
    for i in range(24):
        theirs = by_torchvision(x[i], views[i], size)
        assert (ours[i] - theirs).abs().max() < GRAY_LEVEL, i


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"top": [3], "left": [5], "height": [17], "width": [9]}, 1e-5),
        ({"horizontal_flip": [True]}, 1e-5),
        ({"vertical_flip": [True]}, 1e-5),
        ({"jitter": [True], "brightness": [1.4]}, 1e-5),
        ({"jitter": [True], "contrast": [0.6]}, 1e-5),
        ({"jitter": [True], "saturation": [1.4]}, 1e-5),
        ({"jitter": [True], "hue": [0.17]}, 1e-4),
        ({"jitter": [True], "hue": [-0.5]}, 1e-4),
        ({"grayscale": [True]}, 1e-5),
        ({"blur": [True], "blur_sigma": [1.3]}, 1e-5),
    ],
)
def test_each_step_alone_is_torchvisions(changes: dict, tolerance: float) -> None:
    x = images(1, 32, 32, 3)
    views = dataclasses.replace(
        still(1, 32, 32), **{name: torch.tensor(value) for name, value in changes.items()}
    )
    ours = apply_views(x, views, 32)[0]
    assert not torch.allclose(ours, x[0].permute(2, 0, 1) / 255, atol=tolerance)
    torch.testing.assert_close(ours, by_torchvision(x[0], views[0], 32), rtol=0, atol=tolerance)


def test_a_step_leaves_the_samples_that_it_is_not_drawn_for_as_they_are() -> None:
    x = images(6, 16, 16, 3)
    plain = apply_views(x, still(6, 16, 16), 16)
    some = torch.tensor([True, False] * 3)
    changed = apply_views(
        x,
        dataclasses.replace(
            still(6, 16, 16), jitter=some, brightness=torch.full((6,), 0.5), blur=some
        ),
        16,
    )
    assert torch.equal(changed[~some], plain[~some])
    assert (changed[some] != plain[some]).flatten(1).any(dim=1).all()


@given(
    n=st.integers(1, 5),
    side=st.integers(4, 20),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 999),
)
@settings(max_examples=25, deadline=None)
def test_a_batch_is_its_images_one_by_one(n: int, side: int, channels: int, seed: int) -> None:
    x = images(n, side, side + 3, channels, seed)
    views = draw_views(n, side, side + 3, EVERYTHING, torch.Generator().manual_seed(seed))
    together = apply_views(x, views, 8)
    one_by_one = [apply_views(x[i : i + 1], views[i : i + 1], 8) for i in range(n)]
    torch.testing.assert_close(together, torch.cat(one_by_one), rtol=0, atol=1e-6)
    again = random_views(x, EVERYTHING, torch.Generator().manual_seed(seed), 8)
    assert torch.equal(together, again)
    assert 0 <= together.min() <= together.max() <= 1


@given(
    height=st.integers(3, 60),
    width=st.integers(3, 60),
    smallest=st.floats(0.05, 1),
    ratio=st.floats(1, 2),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_crops_lie_within_the_image(
    height: int, width: int, smallest: float, ratio: float, seed: int
) -> None:
    chosen = ViewParameters(smallest_crop=smallest, largest_ratio=ratio)
    v = draw_views(50, height, width, chosen, torch.Generator().manual_seed(seed))
    assert (v.height >= 1).all()
    assert (v.width >= 1).all()
    assert (v.top >= 0).all()
    assert (v.left >= 0).all()
    assert (v.top + v.height <= height).all()
    assert (v.left + v.width <= width).all()


def test_crops_have_the_area_and_ratio_that_were_asked_for() -> None:
    chosen = ViewParameters(smallest_crop=0.25, largest_ratio=1.5)
    v = draw_views(4000, 200, 200, chosen, torch.Generator().manual_seed(0))
    area = v.height * v.width / 200**2
    assert 0.24 < area.min() < 0.28
    picture = torch.empty(3, 200, 200)
    torch.manual_seed(0)
    theirs = [
        RandomResizedCrop.get_params(picture, [0.25, 1.0], [1 / 1.5, 1.5])[2:] for _ in range(4000)
    ]
    sizes = torch.tensor(theirs, dtype=torch.float)
    assert float(area.mean()) == pytest.approx(float(sizes.prod(1).mean()) / 200**2, abs=0.015)
    spread = (sizes[:, 1] / sizes[:, 0]).log().std()
    assert float((v.width / v.height).log().std()) == pytest.approx(float(spread), abs=0.01)
    ratio = v.width / v.height
    assert ratio.max() < 1.53
    assert ratio.min() > 1 / 1.53
    assert abs(float(ratio.log().mean())) < 0.02


def test_things_happen_as_often_as_asked_for() -> None:
    v = draw_views(8000, 32, 32, EVERYTHING, torch.Generator().manual_seed(0))
    for name in ("horizontal_flip", "vertical_flip", "jitter", "grayscale", "blur"):
        asked = getattr(EVERYTHING, name)
        assert float(getattr(v, name).float().mean()) == pytest.approx(asked, abs=0.025), name
    assert float(v.brightness.min()) == pytest.approx(0.6, abs=0.01)
    assert float(v.hue.max()) == pytest.approx(0.2, abs=0.01)


def test_gray_images_stay_gray_in_color() -> None:
    gray = images(8, 24, 24, 1).expand(-1, -1, -1, 3).contiguous()
    views = random_views(gray, EVERYTHING, torch.Generator().manual_seed(3), 16)
    torch.testing.assert_close(views[:, :1].expand_as(views), views, rtol=0, atol=1e-5)
