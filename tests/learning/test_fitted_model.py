"""A fitted model predicts what its fit predicted."""

import numpy as np
import pytest

from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import (
    Encoder,
    Features,
    extract,
    fit_pca,
    pixels_encoder,
    random_network,
)
from headstart.learning.fitted_model import FittedModel, predict
from headstart.learning.linear_probe import fit_linear_probe
from headstart.learning.nearest_neighbors import fit_nearest_neighbors

CPU = ComputeParameters(device="cpu", progress=False, batch_size=16)
TRAIN, VALIDATION, TEST = np.arange(24), np.arange(24, 36), np.arange(36, 60)
CLASSES = ["cross", "dot", "line"]
LABELS = np.arange(60) % 3


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 200, (3, 32, 32, 1))
    return np.clip(patterns[LABELS] + rng.normal(0, 60, (60, 32, 32, 1)), 0, 255).astype(np.uint8)


def encoder_of(kind: str, images: np.ndarray) -> Encoder:
    return {
        "pixels": lambda: pixels_encoder(8),
        "pca": lambda: fit_pca(images, TRAIN, size=16, components=6, seed=0),
        "random": lambda: random_network("efficientnet_lite0", None, seed=0),
    }[kind]()


@pytest.mark.parametrize("kind", ["pixels", "pca", "random"])
@pytest.mark.parametrize("method", ["linear_probe", "nearest_neighbors"])
def test_it_predicts_what_the_fit_predicted(images, kind, method):
    encoder = encoder_of(kind, images)
    features = Features(kind, extract(encoder, images, CPU), encoder.parameters)
    function, choices = {
        "linear_probe": (fit_linear_probe, {"strengths": [10, 1, 0.1, 0.01]}),
        "nearest_neighbors": (
            fit_nearest_neighbors,
            {"neighbors": [1, 3, 9], "temperature": 0.07, "smoothing": 1.0},
        ),
    }[method]
    fit, head = function(
        features,
        LABELS,
        train=TRAIN,
        validation=VALIDATION,
        test=TEST,
        classes=3,
        identity={"method": method},
        **choices,
    )
    model = FittedModel({"method": method, "classes": CLASSES}, encoder, head)
    # New images come alone, in other batches than those that the fit saw.
    given = predict(model, images[TEST], CPU, batch_size=5)
    np.testing.assert_allclose(given, fit.test, atol=1e-5)
    assert given.dtype == np.float64
    np.testing.assert_allclose(given.sum(axis=1), 1)


@pytest.mark.parametrize("method", ["fine_tune", "from_scratch"])
def test_the_head_of_a_trained_network_is_linear(images, method):
    encoder = encoder_of("random", images)
    rng = np.random.default_rng(0)
    head = {
        "weight": rng.normal(size=(3, 1280)).astype(np.float32),
        "bias": rng.normal(size=3).astype(np.float32),
    }
    model = FittedModel({"method": method, "classes": CLASSES}, encoder, head)
    logits = extract(encoder, images[:7], CPU) @ head["weight"].T + head["bias"]
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict(model, images[:7], CPU), expected, atol=1e-4)


def test_no_image_gives_no_row(images):
    encoder = encoder_of("pixels", images)
    head = {"weight": np.zeros((3, 64)), "bias": np.zeros(3)}
    model = FittedModel({"method": "linear_probe", "classes": CLASSES}, encoder, head)
    assert predict(model, images[:0], CPU).shape == (0, 3)
