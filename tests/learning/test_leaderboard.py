import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError
from headstart.learning.fits import RESULT_COLUMNS, Fit, score_table
from headstart.learning.leaderboard import deciding_metric, leaderboard
from headstart.learning.recommendation import recommend


def rows(representation, method, shots, values, parameters=10, metric="accuracy"):
    return [
        {
            "track": "images",
            "target": "birds",
            "representation": representation,
            "method": method,
            "shots": shots,
            "seed": seed,
            "episode": None,
            "metric": metric,
            "value": value,
            "n_train": 4,
            "n_test": 100,
            "trainable_parameters": parameters,
            "total_parameters": parameters + 5,
            "train_seconds": 1.0 + seed,
            "peak_memory_bytes": None,
        }
        for seed, value in enumerate(values)
    ]


def table(*groups):
    return pd.DataFrame([row for group in groups for row in group], columns=RESULT_COLUMNS).astype(
        {"shots": "Int64"}
    )


RESULTS = table(
    rows("random", "from_scratch", 5, [0.5, 0.6]),
    rows("imagenet", "linear_probe", 5, [0.7, 0.9, 0.4]),
    rows("random", "from_scratch", None, [0.8, 0.8]),
    rows("imagenet", "linear_probe", None, [0.7, 0.7, 0.7]),
    rows("imagenet", "linear_probe", None, [0.2, 0.4, 0.3], metric="nll"),
)


def test_gain_is_paired_by_seed_and_measured_at_equal_shots():
    board = leaderboard(RESULTS).set_index(["shots", "method", "metric"])
    few = board.loc[(5, "linear_probe", "accuracy")]
    # Seeds 0 and 1 alone have a partner: differences 0.2 and 0.3; t(0.975, 1) = 12.706.
    assert few["gain"] == pytest.approx(0.25)
    assert few["gain_high"] - 0.25 == pytest.approx(12.7062047 * 0.05)
    assert few["pairs"] == 2
    assert few["seeds"] == 3
    assert few["mean"] == pytest.approx(2 / 3)


def test_the_baseline_has_no_gain_and_a_missing_baseline_leaves_it_empty():
    board = leaderboard(RESULTS)
    assert board.loc[board["method"] == "from_scratch", "gain"].isna().all()
    assert board.loc[board["metric"] == "nll", "gain"].isna().all()


def test_all_labels_are_kept_as_null_and_the_best_stands_first():
    board = leaderboard(RESULTS)
    accuracy = board[board["metric"] == "accuracy"]
    assert accuracy["shots"].isna().tolist() == [False, False, True, True]
    assert accuracy["method"].tolist() == [
        "linear_probe",
        "from_scratch",
        "from_scratch",
        "linear_probe",
    ]


def test_lower_is_better_is_sorted_the_other_way():
    board = leaderboard(
        table(
            rows("a", "linear_probe", 1, [0.9], metric="nll"),
            rows("b", "linear_probe", 1, [0.1], metric="nll"),
        )
    )
    assert board["representation"].tolist() == ["b", "a"]


def test_the_recommendation_looks_at_validation_scores_only():
    validation = table(
        rows("random", "from_scratch", None, [0.60, 0.62]),
        rows("imagenet", "fine_tune", None, [0.90, 0.91], parameters=1000),
        rows("imagenet", "linear_probe", None, [0.70, 0.71]),
    )
    test = table(
        rows("random", "from_scratch", None, [0.60, 0.62]),
        rows("imagenet", "fine_tune", None, [0.80, 0.81], parameters=1000),
        rows("imagenet", "linear_probe", None, [0.99, 0.99]),
    )
    answer = recommend(validation, leaderboard(test))["birds"]
    assert answer["method"] == "fine_tune"
    assert answer["test_mean"] == pytest.approx(0.805)
    assert answer["gain"] == pytest.approx(0.195)
    assert answer["transfer_pays"]


def test_within_one_standard_error_the_cheaper_one_is_recommended():
    # Best: mean 0.85, standard error 0.05; 0.81 is within it, 0.79 is not.
    validation = table(
        rows("imagenet", "fine_tune", 5, [0.80, 0.90], parameters=1000),
        rows("imagenet", "linear_probe", 5, [0.81, 0.81], parameters=100),
        rows("pixels", "linear_probe", 5, [0.79, 0.79], parameters=1),
    )
    answer = recommend(validation, leaderboard(validation))["birds"]
    assert (answer["representation"], answer["method"]) == ("imagenet", "linear_probe")
    assert "100 parameters instead of 1,000" in answer["reason"]


def test_when_training_from_scratch_wins_it_is_recommended():
    validation = table(
        rows("random", "from_scratch", None, [0.95, 0.96]),
        rows("imagenet", "fine_tune", None, [0.60, 0.61]),
    )
    answer = recommend(validation, leaderboard(validation))["birds"]
    assert answer["method"] == "from_scratch"
    assert not answer["transfer_pays"]
    assert answer["reason"] == (
        "Training from scratch (random) has the best validation accuracy with all labels, 0.955 on "
        "average over seeds. On the test data it scores 0.955 [0.891, 1.019]. No way of "
        "transferring did better: train from scratch. The best of them, fine-tuning on imagenet, "
        "scores 0.605, −0.350 [−0.350, −0.350] against training random from scratch."
    )


def test_scratch_alone_or_beside_what_is_no_transfer_names_none():
    validation = table(
        rows("random", "from_scratch", None, [0.95, 0.96]),
        rows("pixels", "linear_probe", None, [0.60, 0.61]),
    )
    answer = recommend(validation, leaderboard(validation))["birds"]
    assert answer["method"] == "from_scratch"
    assert answer["reason"].endswith("No way of transferring was compared with it.")


def test_a_gain_that_may_be_chance_is_called_so():
    validation = table(
        rows("random", "from_scratch", None, [0.5, 0.7]),
        rows("imagenet", "fine_tune", None, [0.9, 0.6]),
    )
    answer = recommend(validation, leaderboard(validation))["birds"]
    assert not answer["transfer_pays"]
    assert "may be chance" in answer["reason"]


def test_the_largest_number_of_labels_decides():
    validation = table(
        rows("random", "from_scratch", 1, [0.9]),
        rows("imagenet", "fine_tune", 1, [0.1]),
        rows("random", "from_scratch", 20, [0.2]),
        rows("imagenet", "fine_tune", 20, [0.8]),
    )
    answer = recommend(validation, leaderboard(validation))["birds"]
    assert (answer["method"], answer["shots"]) == ("fine_tune", 20)


def test_a_fit_becomes_one_row_a_metric_and_split():
    fit = Fit(
        identity={
            "track": "images",
            "target": "birds",
            "representation": "imagenet",
            "method": "linear_probe",
            "shots": None,
            "seed": 3,
            "episode": None,
        },
        validation=np.array([[0.9, 0.1], [0.9, 0.1]]),
        test=np.array([[0.2, 0.8]]),
        n_train=4,
        trainable_parameters=6,
        total_parameters=9,
        train_seconds=0.5,
        peak_memory_bytes=None,
    )
    scores = score_table(fit, np.array([0, 1]), np.array([1])).set_index(["split", "metric"])
    assert scores.loc[("validation", "accuracy"), "value"] == 0.5
    assert scores.loc[("test", "accuracy"), "value"] == 1.0
    assert scores.loc[("test", "nll"), "value"] == pytest.approx(-np.log(0.8))
    assert scores["shots"].isna().all()


def test_a_gain_is_against_the_same_architecture_from_scratch():
    results = table(
        rows("random", "from_scratch", 5, [0.5, 0.6]),
        rows("imagenet_untrained", "from_scratch", 5, [0.2, 0.4]),
        rows("imagenet", "linear_probe", 5, [0.7, 0.9]),
        rows("rotation", "linear_probe", 5, [0.7, 0.9]),
        rows("pixels", "linear_probe", 5, [0.7, 0.9]),
    )
    board = leaderboard(results).set_index(["representation", "method"])
    assert board.loc[("imagenet", "linear_probe"), "baseline"] == "imagenet_untrained"
    assert board.loc[("imagenet", "linear_probe"), "gain"] == pytest.approx(0.5)
    for other in ("rotation", "pixels"):
        assert board.loc[(other, "linear_probe"), "baseline"] == "random"
        assert board.loc[(other, "linear_probe"), "gain"] == pytest.approx(0.25)
    assert pd.isna(board.loc[("random", "from_scratch"), "baseline"])
    answer = recommend(results.assign(chosen="{}"), leaderboard(results))["birds"]
    assert answer["best_scratch"] == {"representation": "random", "mean": pytest.approx(0.55)}
    assert (answer["representation"], answer["baseline"]) == ("imagenet", "imagenet_untrained")
    assert answer["baseline_mean"] == pytest.approx(0.3)
    assert (
        "imagenet_untrained from scratch; the best network from scratch is random, 0.550"
        in (answer["reason"])
    )


def test_a_target_may_have_a_deciding_metric_of_its_own():
    validation = pd.DataFrame(
        [
            *rows("a", "linear_probe", 1, [0.9]),
            *rows("b", "linear_probe", 1, [0.8]),
            *rows("a", "linear_probe", 1, [0.9], metric="nll"),
            *rows("b", "linear_probe", 1, [0.1], metric="nll"),
        ]
    )
    other = pd.concat([validation, validation.assign(target="other")])
    board = leaderboard(other)
    found = recommend(other, board, "accuracy", {"other": "nll", "absent": "rmse"})
    target = validation["target"].iloc[0]
    assert (found[target]["metric"], found[target]["representation"]) == ("accuracy", "a")
    assert (found["other"]["metric"], found["other"]["representation"]) == ("nll", "b")
    with pytest.raises(HeadstartError, match=r"metric_of.other: .* by auc; it has accuracy, nll"):
        recommend(other, board, "accuracy", {"other": "auc"})


def test_where_the_metric_cannot_score_a_target_a_known_one_decides():
    assert deciding_metric("t", {"mae", "rmse"}, "accuracy") == "rmse"
    assert deciding_metric("t", {"mae", "rmse"}, "accuracy", {"t": "mae"}) == "mae"
    assert deciding_metric("t", {"accuracy", "nll"}, "nll") == "nll"
