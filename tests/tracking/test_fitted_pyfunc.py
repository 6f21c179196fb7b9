"""A model as MLflow loads it says what `kedro run --pipelines prediction` would say."""

import numpy as np
import pytest

from headstart.datasets import FittedModelDataset
from headstart.learning.configuration import ComputeParameters
from headstart.learning.fitted_model import predict
from headstart.tracking.fitted_pyfunc import _load_pyfunc


def test_label_and_probability_of_each_image(test_run):
    folder = str(test_run / "data/test/06_models/faces")
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    model = FittedModelDataset(filepath=folder).load()
    probabilities = predict(model, images, ComputeParameters(progress=False))
    answers = _load_pyfunc(folder, {"progress": False, "batch_size": 2}).predict(images)
    assert answers.columns.tolist() == ["label", "probability"]
    for answer, row in zip(answers.itertuples(), probabilities, strict=True):
        assert answer.label == model.config["classes"][row.argmax()]
        assert answer.probability == pytest.approx(row.max())
