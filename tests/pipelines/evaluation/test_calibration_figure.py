import numpy as np
import pytest

from headstart.learning import metrics
from headstart.pipelines.evaluation import calibration_figure


def test_the_error_of_the_reliability_diagram_is_the_metric(experiment):
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([0.4] * 5, 500)
    labels = rng.integers(0, 5, 500)
    curve = calibration_figure.reliability(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    )
    error = (curve["share"] * (curve["accuracy"] - curve["confidence"]).abs()).sum()
    assert error == pytest.approx(metrics.ece(probabilities, labels), abs=1e-12)

    board = experiment.leaderboard
    row = board[
        (board["target"] == "faces")
        & (board["representation"] == "imagenet")
        & (board["method"] == "fine_tune")
        & (board["metric"] == "ece")
        & board["shots"].isna()
    ].iloc[0]
    predictions = experiment.predictions
    fits = predictions[
        (predictions["target"] == "faces")
        & (predictions["representation"] == "imagenet")
        & (predictions["method"] == "fine_tune")
        & predictions["shots"].isna()
    ]
    assert calibration_figure.calibration_error(fits) == pytest.approx(row["mean"], abs=1e-12)
