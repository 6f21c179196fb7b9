import numpy as np
import pandas as pd
import pytest

from headstart.pipelines.evaluation.answer import (
    against_baseline,
    fewer_labels,
    verdict,
    where_it_hurt,
)


def board(*rows):
    columns = ["representation", "method", "shots", "mean", "gain", "gain_low", "gain_high"]
    table = pd.DataFrame(rows, columns=columns).astype({"shots": "Int64"})
    compared = table["method"] != "from_scratch"
    against = compared.map({True: "random", False: None})
    return table.assign(metric="accuracy", pairs=compared * 3, baseline=against)


BOARD = board(
    ("random", "from_scratch", 1, 0.50, np.nan, np.nan, np.nan),
    ("random", "from_scratch", 5, 0.60, np.nan, np.nan, np.nan),
    ("random", "from_scratch", None, 0.80, np.nan, np.nan, np.nan),
    ("imagenet", "fine_tune", 1, 0.70, 0.20, 0.10, 0.30),
    ("imagenet", "fine_tune", 5, 0.85, 0.25, -0.01, 0.51),
    ("imagenet", "fine_tune", None, 0.78, -0.02, -0.03, -0.01),
    ("pca", "linear_probe", None, 0.60, -0.20, -0.30, -0.10),
    ("pca", "linear_probe", 5, 0.50, -0.10, np.nan, np.nan),
    ("pixels", "linear_probe", None, 0.40, -0.40, -0.50, -0.30),
)


def test_hurt_is_an_interval_below_zero_of_something_learned_elsewhere():
    hurt = where_it_hurt(BOARD, "accuracy")
    assert list(zip(hurt["rows"]["representation"], hurt["rows"]["gain"], strict=True)) == [
        ("pca", -0.20),
        ("imagenet", -0.02),
    ]
    assert (hurt["compared"], hurt["bare"]) == (4, 1)


def test_hurt_is_an_interval_above_zero_where_lower_is_better():
    hurt = where_it_hurt(BOARD.assign(metric="nll"), "nll")
    assert list(hurt["rows"]["gain"]) == [0.20]


def test_fewer_labels_is_the_first_number_that_reaches_the_baseline_with_all():
    beside = against_baseline(BOARD, "imagenet", "fine_tune", "accuracy")
    assert list(beside["scratch"]) == [0.50, 0.60, 0.80]
    assert fewer_labels(beside, "accuracy")["shots"] == 5
    assert fewer_labels(beside.assign(mean=0.1), "accuracy") is None
    assert fewer_labels(beside.assign(scratch=np.nan), "accuracy") is None


def answer(**changes):
    usual = {"track": "images", "representation": "imagenet", "method": "fine_tune"}
    usual |= {"metric": "accuracy", "shots": None, "gain": 0.1, "transfer_pays": True}
    return usual | changes


@pytest.mark.parametrize(
    ("changes", "gains", "expected"),
    [
        ({}, [(0.1, 0.2), (0.1, 0.2), (0.1, 0.2)], ("yes", "Transfer pays")),
        (
            {},
            [(0.1, 0.2), (0.1, 0.2), (-0.1, 0.2)],
            (
                "yes",
                "Transfer pays with 1 and 5 labels per class; elsewhere the gain may be chance",
            ),
        ),
        (
            {},
            [(0.1, 0.2), (-0.1, 0.2), (0.1, 0.2)],
            (
                "yes",
                "Transfer pays with 1 label per class and all labels; "
                "elsewhere the gain may be chance",
            ),
        ),
        ({}, [(-0.1, 0.2)] * 3, ("open", "The gain may be chance")),
        ({}, [(0.1, 0.2), (0.1, 0.2), (-0.2, -0.1)], ("no", "Transfer hurts with all labels")),
        ({}, [(np.nan, np.nan)] * 3, ("open", "One seed: the gain has no interval")),
        ({"gain": None}, [(np.nan, np.nan)] * 3, ("open", None)),
        ({"method": "from_scratch", "gain": None}, [(np.nan, np.nan)] * 3, ("no", None)),
        ({"representation": "pixels"}, [(0.1, 0.2)] * 3, ("no", None)),
        ({"metric": "nll"}, [(-0.2, -0.1)] * 3, ("yes", "Transfer pays")),
        ({"metric": "nll"}, [(0.1, 0.2)] * 3, ("no", "Transfer hurts with all labels")),
    ],
)
def test_the_verdict_follows_the_intervals(changes, gains, expected):
    by_shots = pd.DataFrame(gains, columns=["gain_low", "gain_high"]).assign(
        shots=pd.array([1, 5, None], dtype="Int64")
    )
    style, words = verdict(answer(**changes), by_shots)
    assert style == expected[0]
    assert expected[1] in (None, words)
