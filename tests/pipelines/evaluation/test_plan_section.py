"""Memory and time of each training: predicted beside measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headstart.learning.fits import RESULT_COLUMNS
from headstart.learning.planning.parameters import GpuParameters
from headstart.learning.pretext.pretrain import SCORE_COLUMNS
from headstart.pipelines.checking import plan_table
from headstart.pipelines.evaluation.plan_section import COLUMNS, predicted_and_measured
from headstart.pipelines.evaluation.report import render_report

GPUS = pd.DataFrame(
    [["small", 1, 100, 10, 1], ["large", 10, 1000, 100, 10]],
    columns=["gpu", "memory_gib", "bandwidth_gb_s", "half_tflops", "single_tflops"],
)
USED = GpuParameters(usable_share=1.0, efficiency=0.5, launch_seconds=0.0)


def plan(**changes: Any) -> dict[str, Any]:
    return {
        **{"training": "fine_tuning.fine_tune", "track": "images", "network": "pretext"},
        **{"method": "fine_tune", "precision": "fp32", "batch": 16, "weights": 100},
        **{"gradients": 0, "optimizer": 200, "activations": 700, "peak_bytes": 1000},
        **{"flops": [1e9, 0.0], "moved": [4.0, 1e9], "times": [2.0, 1.0]},
    } | changes


def fit(**changes: Any) -> dict[str, Any]:
    made = {"track": "images", "target": "faces", "representation": "rotation"}
    made |= {"method": "fine_tune", "shots": None, "seed": 0, "episode": None, "n_train": 100}
    return made | {"metric": "accuracy", "peak_memory_bytes": 2000} | changes


def compared(plans: list[dict[str, Any]], fits: list[dict[str, Any]], **more: Any) -> pd.DataFrame:
    results = pd.DataFrame(fits, columns=RESULT_COLUMNS)
    scores = pd.DataFrame(more.get("pretext", []), columns=list(SCORE_COLUMNS))
    return predicted_and_measured(plan_table(plans), results, scores, GPUS, USED)


def test_a_plan_stands_beside_the_median_of_its_own_fits():
    others = [
        fit(seed=1, peak_memory_bytes=4000),
        fit(seed=2, peak_memory_bytes=5000),
        fit(seed=1, metric="nll", peak_memory_bytes=4000),  # the same fit
        fit(seed=3, n_train=10, peak_memory_bytes=1),  # never had a whole batch
        fit(representation="imagenet", peak_memory_bytes=1),  # another network
        fit(method="from_scratch", peak_memory_bytes=1),
    ]
    (row,) = compared([plan()], [fit(), *others]).to_dict("records")
    assert (row["predicted_bytes"], row["measured_bytes"], row["fits"]) == (1000, 4000, 3)
    assert row["ratio"] == 0.25


def test_only_on_tables_a_plan_is_of_one_target():
    tables = {"track": "tables", "method": "pooled"}
    own = plan(**tables, network="features", target="weather", flops=[], moved=[], times=[])
    fits = [
        fit(**tables, target=name, representation="features", peak_memory_bytes=size)
        for name, size in (("weather", 500), ("hospitals", 9))
    ]
    (row,) = compared([own], fits).to_dict("records")
    assert row["ratio"] == 2.0
    assert pd.isna(row["flops"])
    assert pd.isna(row["fastest_seconds"])


def test_the_weights_of_a_pretext_task_were_there_before_it_was_measured():
    task = plan(training="pretraining.rotation", method="rotation")
    score = {"task": "rotation", "n_train": 100, "peak_memory_bytes": 900}
    (row,) = compared([task], [], pretext=[score]).to_dict("records")
    assert (row["measured_bytes"], row["ratio"]) == (1000, 1.0)


def test_gpus_that_are_too_small_are_named_and_a_step_is_timed_on_the_others():
    (row,) = compared([plan(peak_bytes=2 * 2**30)], []).to_dict("records")
    assert (row["gpus"], row["too_small"]) == ("large", "small")
    # 2 x 1e9 operations at half of 10 TFLOP/s, and 1e9 bytes at half of 1000 GB/s.
    assert row["fastest_seconds"] == row["slowest_seconds"] == pytest.approx(0.0004 + 0.002)
    assert pd.isna(row["ratio"])
    assert row["fits"] == 0


def test_the_report_has_the_table(experiment):
    table = compared([plan(), plan(method="from_scratch")], [fit()])
    page = render_report(**experiment.arguments(), plans=table)
    section = page[page.index("<summary>Memory and time of each training") :]
    section = section[: section.index("</details>")]
    assert section.count('<th scope="row">') == 2
    assert "0.50" in section
    assert "GPUs are those of the catalog" in section


def test_without_checks_there_is_no_table(experiment):
    empty = compared([], [fit()])
    assert empty.columns.tolist() == list(COLUMNS)
    page = render_report(**experiment.arguments(), plans=empty)
    assert "Memory and time of each training" not in page


def test_the_shipped_catalogue_is_what_it_expects():
    shipped = pd.read_csv(Path(__file__).parents[3] / "conf" / "base" / "gpus.csv")
    assert set(GPUS) <= set(shipped)
