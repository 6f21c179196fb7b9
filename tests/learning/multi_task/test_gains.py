import pandas as pd
import pytest

from headstart.learning.fits import RESULT_COLUMNS
from headstart.learning.multi_task.gains import task_gains
from headstart.learning.statistics import mean_interval


def results(scores: dict[tuple[str, str], list[float]], metric: str = "rmse") -> pd.DataFrame:
    rows = [
        {
            **dict.fromkeys(RESULT_COLUMNS, 1),
            **{"track": "tables", "target": target, "representation": "features"},
            **{"method": method, "shots": None, "seed": seed, "metric": metric, "value": value},
        }
        for (target, method), values in scores.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_gains_are_paired_by_seed_on_each_task_and_on_the_mean():
    table = task_gains(
        results(
            {
                ("air", "separate"): [3.0, 5.0, 4.0],
                ("air", "pooled"): [2.0, 4.5, 3.0],
                ("air.one", "separate"): [3.0, 5.0, 4.0],
                ("air.one", "pooled"): [4.0, 6.5, 5.0],
            }
        ),
        "air",
        "rmse",
    )
    pooled = table[table["method"] == "pooled"].set_index("task")
    assert pooled.loc["", "against"] == "separate"
    expected = mean_interval([-1.0, -0.5, -1.0])
    assert pooled.loc["", "gain"] == pytest.approx(expected.mean)
    assert pooled.loc["", "gain_low"] == pytest.approx(expected.low)
    # Of an error less is better: the mean over the tasks gains, task one is hurt.
    assert pooled.loc["", "pays"]
    assert not pooled.loc["", "hurts"]
    assert pooled.loc["one", "hurts"]


def test_a_gain_that_may_be_chance_neither_pays_nor_hurts():
    scores = {("air", "separate"): [1.0, 2.0], ("air", "pooled"): [2.0, 1.0]}
    table = task_gains(results(scores), "air", "rmse")
    assert not table["pays"].any()
    assert not table["hurts"].any()


def test_other_targets_and_tracks_are_no_part_of_it():
    table = task_gains(
        pd.concat(
            [
                results({("air", "separate"): [1.0], ("air", "pooled"): [2.0]}),
                results({("airs.one", "pooled"): [2.0], ("airs.one", "separate"): [2.0]}),
                results({("air", "pooled"): [9.0]}).assign(track="images"),
            ]
        ),
        "air",
        "rmse",
    )
    assert set(table["task"]) == {""}
    assert set(table["gain"]) == {1.0, -1.0}


def test_a_baseline_that_was_not_run_is_left_out():
    scores = {("air", "separate"): [1.0, 2.0], ("air", "regularized"): [0.5, 1.0]}
    assert set(task_gains(results(scores), "air", "rmse")["against"]) == {"separate"}
