"""Inpainting: masks, the masked loss, and both kinds of autoencoder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.configuration import TrainingParameters
from headstart.learning.networks import small_resnet
from headstart.learning.pretext.inpainting import (
    ConvolutionalAutoencoder,
    Inpainting,
    MaskedAutoencoder,
    normalize_patches,
    patchify,
    random_mask,
    unpatchify,
)
from headstart.learning.pretext.parameters import InpaintingParameters
from headstart.learning.pretext.task import Source

TRAINING = TrainingParameters(steps=1, epochs=1, batch_size=2, learning_rate=1e-3)
KINDS = ["convolutional", "transformer"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(n: int, height: int = 32, width: int = 32, channels: int = 1) -> torch.Tensor:
    return torch.randint(
        256, (n, height, width, channels), dtype=torch.uint8, generator=generator(7)
    )


def inpainting(images: torch.Tensor, image_size: int | None = None, **changes: Any) -> Inpainting:
    values: dict[str, Any] = {"patch": 4, "masked_share": 0.6, "normalize": False}
    values |= {"decoder_width": 32, "decoder_depth": 1} | changes
    parameters = InpaintingParameters(training=TRAINING, **values)
    config = {"channels": 3, "image_size": image_size, "mean": [0.5], "std": [0.5]}
    return Inpainting(parameters, config, Source(images.numpy(), np.arange(len(images))))


def tiny_transformer(size: int = 32, patch: int = 4) -> nn.Module:
    from timm.models import VisionTransformer

    return VisionTransformer(
        size,
        patch_size=patch,
        embed_dim=32,
        depth=2,
        num_heads=2,
        num_classes=0,
        dynamic_img_size=True,
    )


def encoder_of(kind: str) -> tuple[nn.Module, int]:
    return (small_resnet(), 256) if kind == "convolutional" else (tiny_transformer(), 32)


class Oracle(nn.Module):
    """Predicts the given patches, whatever it sees."""

    def __init__(self, patches: torch.Tensor):
        super().__init__()
        self.patches = patches

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.patches


# Patches and masks


@given(
    rows=st.integers(1, 4), columns=st.integers(1, 4), patch=st.integers(1, 5), c=st.integers(1, 3)
)
@settings(max_examples=40, deadline=None)
def test_patches_are_squares_of_the_image_and_make_it_again(
    rows: int, columns: int, patch: int, c: int
) -> None:
    images = torch.randn(2, c, rows * patch, columns * patch, generator=generator())
    patches = patchify(images, patch)
    assert patches.shape == (2, rows * columns, patch * patch * c)
    for row in range(rows):
        for column in range(columns):
            down, right = row * patch, column * patch
            square = images[:, :, down : down + patch, right : right + patch]
            expected = square.permute(0, 2, 3, 1).flatten(1)
            assert torch.equal(patches[:, row * columns + column], expected)
    assert torch.equal(unpatchify(patches, patch, rows * patch), images)


@given(
    side=st.integers(1, 8),
    patch=st.integers(1, 6),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_exactly_the_share_of_patches_is_hidden_in_each_image(
    side: int, patch: int, share: float, seed: int
) -> None:
    images = some_images(5, side * patch, 2 * side * patch)
    patches = 2 * side * side
    hidden = round(share * patches)
    if hidden in (0, patches):
        with pytest.raises(HeadstartError, match=f"{hidden} of {patches} patches"):
            inpainting(images, patch=patch, masked_share=share)
        return
    task = inpainting(images, patch=patch, masked_share=share)
    mask = task.batch(images, None, generator(seed))["mask"]
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [hidden] * 5


def test_every_patch_is_hidden_as_often_and_each_image_has_a_mask_of_its_own() -> None:
    mask = random_mask(4000, 16, 10, generator())
    share = mask.double().mean(dim=0)
    assert (share - 10 / 16).abs().max() < 4.5 * math.sqrt(10 / 16 * 6 / 16 / 4000)
    assert len(mask.unique(dim=0)) > 2000
    assert torch.equal(mask, random_mask(4000, 16, 10, generator()))


def test_patches_have_their_own_mean_and_deviation_taken_out() -> None:
    patches = torch.rand(3, 6, 48, generator=generator()) * 2 - 1
    normalized, mean, deviation = normalize_patches(patches)
    assert normalized.mean(dim=2).abs().max() < 1e-5
    assert (normalized.var(dim=2, correction=0) - 1).abs().max() < 1e-4
    torch.testing.assert_close(normalized * deviation + mean, patches)
    assert normalize_patches(torch.full((1, 2, 12), 0.3))[0].abs().max() < 1e-3


# The loss


@pytest.mark.parametrize("normalize", [False, True])
def test_the_loss_is_the_mean_squared_error_on_hidden_patches(normalize: bool) -> None:
    images = some_images(3, 8, 12, channels=3)
    task = inpainting(images, normalize=normalize, masked_share=0.5)
    batch = task.batch(images, None, generator(2))
    prediction = torch.randn(3, 6, 48, generator=generator(1))
    loss, extras = task.loss(Oracle(prediction), batch)
    pixels = images.numpy() / 127.5 - 1
    errors, trivial = [], []
    for image, hidden, said in zip(pixels, batch["mask"].tolist(), prediction, strict=True):
        squares = [
            image[row : row + 4, column : column + 4] for row in (0, 4) for column in (0, 4, 8)
        ]
        seen = np.concatenate(
            [s.reshape(-1, 3) for s, h in zip(squares, hidden, strict=True) if not h]
        )
        for i in range(6):
            if hidden[i]:
                target, base = squares[i], seen.mean(axis=0)
                if normalize:
                    target, base = (target - target.mean()) / target.std(), np.zeros(3)
                errors.append(((said[i].numpy().reshape(4, 4, 3) - target) ** 2).mean())
                trivial.append(((base - target) ** 2).mean())
    assert len(errors) == 9
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-4)
    score = 1 - np.sum(errors) / np.sum(trivial)
    assert extras["score"].item() == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_only_hidden_patches_count(normalize: bool) -> None:
    images = some_images(4)
    task = inpainting(images, normalize=normalize)
    batch = task.batch(images, None, generator(2))
    model = Oracle(torch.randn(4, 64, 48, generator=generator(1)))
    before = task.loss(model, batch)[0]
    patches, mask = patchify(batch["images"], 4), batch["mask"]
    other = torch.randn(patches.shape, generator=generator(4))
    visible, hidden = patches.clone(), patches.clone()
    visible[~mask] = other[~mask]
    first = mask[0].nonzero()[0]
    hidden[0, first] = other[0, first]
    for changed, same in ((visible, True), (hidden, False)):
        after = task.loss(model, {**batch, "images": unpatchify(changed, 4, 32)})[0]
        assert torch.equal(after, before) == same
    prediction = model.patches.clone()
    prediction[~mask] += 100
    assert torch.equal(task.loss(Oracle(prediction), batch)[0], before)


def test_the_score_is_one_for_the_truth_and_zero_for_what_needs_no_learning() -> None:
    images = some_images(6, channels=3)
    plain, normalized = inpainting(images), inpainting(images, normalize=True)
    batch = plain.batch(images, None, generator())
    patches = patchify(batch["images"], 4)
    shown = [p[~m].view(-1, 3).mean(dim=0) for p, m in zip(patches, batch["mask"], strict=True)]
    color = torch.stack(shown)[:, None].repeat(1, 64, 16)
    cases: list[tuple[Inpainting, torch.Tensor, float]] = [
        (plain, patches, 1.0),
        (plain, color, plain.chance(6)),
        (normalized, normalize_patches(patches)[0], 1.0),
        (normalized, torch.zeros_like(patches), normalized.chance(6)),
    ]
    for task, prediction, expected in cases:
        score = task.loss(Oracle(prediction), batch)[1]["score"]
        assert score.item() == pytest.approx(expected, abs=1e-5)


# The autoencoders


@pytest.mark.parametrize("kind", KINDS)
def test_the_prediction_does_not_depend_on_hidden_pixels(kind: str) -> None:
    torch.manual_seed(0)
    images = some_images(3)
    task = inpainting(images)
    model = task.build(*encoder_of(kind)).eval()
    batch = task.batch(images, None, generator())
    mask = batch["mask"]
    patches = patchify(batch["images"], 4)
    other = torch.randn(patches.shape, generator=generator(1))
    hidden = unpatchify(torch.where(mask[..., None], other, patches), 4, 32)
    visible = unpatchify(torch.where(mask[..., None], patches, other), 4, 32)

    def seen(images: torch.Tensor) -> torch.Tensor:
        if isinstance(model, ConvolutionalAutoencoder):
            return model.visible(images, mask)
        assert isinstance(model, MaskedAutoencoder)
        return model.encode(images, mask.int().argsort(dim=1, stable=True))

    with torch.no_grad():
        assert torch.equal(seen(hidden), seen(batch["images"]))
        assert torch.equal(model(hidden, mask), model(batch["images"], mask))
        assert not torch.allclose(seen(visible), seen(batch["images"]))
        assert not torch.allclose(model(visible, mask), model(batch["images"], mask))


def test_a_convolutional_network_sees_gray_where_patches_are_hidden() -> None:
    images = some_images(3, 32, 48)
    task = inpainting(images)
    model = task.build(small_resnet(), 256)
    assert isinstance(model, ConvolutionalAutoencoder)
    batch = task.batch(images, None, generator())
    seen = patchify(model.visible(batch["images"], batch["mask"]), 4)
    mask = batch["mask"]
    assert (seen[mask] == 0).all()
    assert torch.equal(seen[~mask], patchify(batch["images"], 4)[~mask])


def test_a_transformer_that_sees_every_patch_gives_what_timm_gives() -> None:
    torch.manual_seed(0)
    encoder = tiny_transformer().eval()
    model = MaskedAutoencoder(encoder, (32, 32), patch=4, hidden=0, width=32, depth=1)
    images = torch.randn(2, 3, 32, 32, generator=generator())
    order = torch.arange(64).expand(2, -1)
    turned = torch.cat([order[:1], order[1:].flip(1)])
    with torch.no_grad():
        expected = encoder.forward_features(images)  # type: ignore[operator]
        torch.testing.assert_close(model.encode(images, order), expected)
        # Positions are added before patches are left out: the order changes nothing else.
        tokens = model.encode(images, turned)
    torch.testing.assert_close(tokens[1, 1:].flip(0), expected[1, 1:], atol=1e-5, rtol=1e-4)


def test_the_decoder_knows_which_patch_is_which() -> None:
    """What it says of a hidden patch depends on where that patch stands, and nothing mixes up."""
    torch.manual_seed(0)
    images = some_images(1)
    task = inpainting(images)
    model = task.build(*encoder_of("transformer")).eval()
    assert isinstance(model, MaskedAutoencoder)
    # A decoder without blocks lets through each patch's own token: position and content.
    model.blocks = nn.Sequential()
    batch = task.batch(images, None, generator())
    with torch.no_grad():
        order = batch["mask"].int().argsort(dim=1, stable=True)
        tokens = model.embed(model.encode(batch["images"], order))[0, 1:]
        said = model(batch["images"], batch["mask"])[0]
        for i in range(64):
            place = order[0].tolist().index(i)
            token = tokens[place] if place < len(tokens) else model.mask_token[0, 0]
            expected = model.pixels(model.norm(token + model.positions[i]))
            torch.testing.assert_close(said[i], expected)
    assert len(said[batch["mask"][0]].unique(dim=0)) == task.hidden


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_weight_learns_and_the_encoder_stays_one(kind: str, precision: torch.dtype) -> None:
    torch.manual_seed(0)
    images = some_images(6, channels=3)
    encoder, dimension = encoder_of(kind)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):  # timm begins some with 0, which no gradient passes
            nn.init.ones_(module.weight)
    task = inpainting(images, normalize=True, decoder_depth=2)
    model = task.build(encoder, dimension)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss, _ = task.loss(model, task.batch(images, None, generator()))
    assert loss.dtype == torch.float32
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert model.encoder is encoder
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, dimension)


@pytest.mark.parametrize(("height", "width", "patch"), [(32, 48, 8), (36, 60, 6), (40, 40, 2)])
def test_any_feature_map_is_spread_over_the_patches(height: int, width: int, patch: int) -> None:
    images = some_images(2, height, width)
    task = inpainting(images, patch=patch)
    encoder = small_resnet()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = task.build(encoder, 256)
    batch = task.batch(images, None, generator())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    expected = (2, height * width // patch**2, patch**2 * 3)
    assert model(batch["images"], batch["mask"]).shape == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_tiny_encoder_learns_to_fill_in_smooth_images(kind: str, normalize: bool) -> None:
    torch.manual_seed(0)
    draw = generator(1)
    side = torch.linspace(-1, 1, 32)
    angle = torch.rand(160, 1, 1, generator=draw) * 2 * math.pi
    slope = angle.cos() * side[:, None] + angle.sin() * side
    images = ((0.5 + 0.35 * slope) * 255).to(torch.uint8)[..., None]
    task = inpainting(images, normalize=normalize, patch=8, masked_share=0.5, decoder_width=32)
    encoder: nn.Module = tiny_transformer(patch=8)
    if kind == "convolutional":
        from timm.models.resnet import BasicBlock, ResNet

        encoder = ResNet(BasicBlock, (1, 1, 1, 1), channels=(8, 16, 16, 32), num_classes=0)
    model = task.build(encoder, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        part = images[:128][torch.randperm(128, generator=draw)[:32]]
        loss, _ = task.loss(model, task.batch(part, None, draw))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        _, extras = task.loss(model.eval(), task.batch(images[128:], None, generator(2)))
    assert extras["score"].item() > 0.3


# What cannot work, and what is shown


def test_patches_that_do_not_divide_the_image_are_refused() -> None:
    with pytest.raises(HeadstartError, match=r"32 x 30 .* 4 x 4"):
        inpainting(some_images(1, 32, 30))
    with pytest.raises(HeadstartError, match=r"50 x 50 .* 4 x 4"):
        inpainting(some_images(1), image_size=50)


def test_a_patch_that_is_not_the_transformers_is_refused() -> None:
    with pytest.raises(HeadstartError, match=r"patch: 8, .* 4 x 4"):
        inpainting(some_images(1), patch=8).build(tiny_transformer(), 32)
    with pytest.raises(HeadstartError, match="decoder_width: 30"):
        inpainting(some_images(1), decoder_width=30).build(tiny_transformer(), 32)


@pytest.mark.parametrize("normalize", [False, True])
def test_examples_show_what_is_seen_what_is_said_and_what_is_there(normalize: bool) -> None:
    images = some_images(3)
    task = inpainting(images, image_size=None, normalize=normalize)
    mask = task.batch(images, None, generator(4))["mask"]
    hidden = mask.unflatten(1, (8, 8)).repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()
    patches = patchify(images.permute(0, 3, 1, 2).expand(-1, 3, -1, -1) / 127.5 - 1, 4)
    # A prediction of the turned picture, in the terms in which the model predicts it.
    _, mean, deviation = normalize_patches(patches)
    said = (-patches - mean) / deviation if normalize else -patches
    examples = task.examples(Oracle(said), images, generator(4))
    assert len(examples) == 3
    for example, image, where in zip(examples, images.numpy(), hidden, strict=True):
        seen, filled, original = (picture.astype(int) for picture in example.pictures)
        assert seen.shape == filled.shape == original.shape == (32, 32, 3)
        assert example.captions == ["38 of 64 patches hidden", "filled in", "original"]
        np.testing.assert_array_equal(original, image.repeat(3, axis=2))
        np.testing.assert_array_equal(seen[~where], original[~where])
        assert (abs(seen[where] - 127.5) <= 0.5).all()
        np.testing.assert_array_equal(filled[~where], original[~where])
        assert abs(filled[where] - (255 - original[where])).max() <= 1
