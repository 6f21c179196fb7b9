import re

import pandas as pd
import pytest

from headstart.learning.statistics import mean_interval
from headstart.learning.text.lora_costs import COST_COLUMNS
from headstart.learning.text.lora_ranks import RANK_COLUMNS
from headstart.pipelines.evaluation.lora_section import lora_costs, lora_ranks, rank_figure
from headstart.pipelines.evaluation.report import render_report

MB = 10**6
COSTS = pd.DataFrame(
    [
        *[
            (
                "minilm",
                "fine_tune",
                None,
                None,
                22_713_216,
                91 * MB,
                90 * MB,
                180 * MB,
                330 * MB,
                "",
            )
        ],
        *[("minilm", "lora", 1, 9_216, 9_216, 91 * MB, 36_864, 73_728, 160 * MB, "")],
        *[("minilm", "lora", 16, 147_456, 147_456, 91 * MB, 589_824, 1_179_648, None, "it <died>")],
    ],
    columns=[
        *("representation", "method", "rank", "formula_parameters", "trainable_parameters"),
        *("weight_bytes", "gradient_bytes", "optimizer_bytes", "step_peak_bytes", "note"),
    ],
)
COSTS = COSTS.assign(total_parameters=22_800_000, batch_size=8, tokens=64, device="cpu")
COSTS = COSTS[list(COST_COLUMNS)].astype(COST_COLUMNS)
RANKS = pd.DataFrame(
    [
        ("faces", "imagenet", rank, 1, seed, metric, 0.5 + 0.1 * seed, 1000 * rank, 2.0, 5 * MB)
        for rank in (1, 8)
        for seed in (0, 1, 2)
        for metric in ("accuracy", "nll")
    ],
    columns=RANK_COLUMNS,
).astype({"shots": "Int64", "peak_memory_bytes": "Int64"})


def section(page: str) -> str:
    return page.split('id="lora"')[1].split("<h2")[0]


def test_the_table_holds_formula_counted_bytes_and_the_measured_step(experiment):
    page = render_report(**experiment.arguments(), lora_costs=COSTS)
    text = section(page)
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", text)
    cells = [re.findall(r">([^<]+)<", f">{row}") for row in rows]
    assert cells == [
        ["Fine-tuning", "–", "22,713,216", "91 MB", "90.00", "180.00", "330 MB"],
        ["LoRA, rank 1", "9,216", "9,216", "91 MB", "0.04", "0.07", "160 MB"],
        ["LoRA, rank 16", "147,456", "147,456", "91 MB", "0.59", "1.18", "–"],
    ]
    assert "it &lt;died&gt;" in text
    assert "8 texts of 64 tokens" in text
    assert 'href="#lora"' in page


def test_activations_are_what_neither_gradients_nor_moments_took():
    (model,) = lora_costs(COSTS)
    assert model["rest"] == (60 * MB, 160 * MB - 36_864 - 73_728)
    unmeasured = COSTS.assign(step_peak_bytes=pd.array([None] * 3, dtype="Int64"))
    assert lora_costs(unmeasured)[0]["rest"] is None


def test_without_measured_steps_there_is_no_such_column(experiment):
    unmeasured = COSTS.assign(step_peak_bytes=pd.array([None] * 3, dtype="Int64"), note="")
    text = section(render_report(**experiment.arguments(), lora_costs=unmeasured))
    assert "One step" not in text
    assert "Measured:" not in text


def test_without_tables_there_is_no_section(experiment):
    page = render_report(
        **experiment.arguments(),
        lora_costs=pd.DataFrame(columns=["target"]),
        lora_ranks=pd.DataFrame(columns=["target"]),
    )
    assert "What LoRA saves" not in page
    assert "#lora" not in page


def test_each_rank_has_its_interval_and_all_weights_stand_beside(experiment):
    plots = {}
    (item,) = lora_ranks(RANKS, experiment.leaderboard, 0.9, plots)
    rows = item["tables"]["accuracy"]
    assert [row["rank"] for row in rows] == [1, 8, None]
    expected = mean_interval([0.5, 0.6, 0.7], 0.9)
    for row in rows[:2]:
        assert (row["mean"], row["low"], row["high"], row["seeds"]) == pytest.approx(
            (expected.mean, expected.low, expected.high, 3)
        )
    assert [row["trainable_parameters"] for row in rows[:2]] == [1000, 8000]
    board = experiment.leaderboard
    full = board[
        (board["target"] == "faces")
        & (board["representation"] == "imagenet")
        & (board["method"] == "fine_tune")
        & (board["shots"] == 1)
        & (board["metric"] == "accuracy")
    ].iloc[0]
    assert (rows[2]["mean"], rows[2]["low"]) == (full["mean"], full["low"])
    lora, whole = plots["ranks-0"]["accuracy"].data
    assert list(lora.x) == ["1", "8"]
    assert list(whole.x) == ["all weights"]
    half = (expected.high - expected.low) / 2
    assert list(lora.error_y.array) == pytest.approx([half, half])


def test_ranks_stand_alone_where_not_all_weights_were_trained(experiment):
    others = experiment.leaderboard[experiment.leaderboard["method"] != "fine_tune"]
    (item,) = lora_ranks(RANKS, others, 0.95, {})
    assert [row["rank"] for row in item["tables"]["nll"]] == [1, 8]
    empty = lora_ranks(pd.DataFrame(columns=RANK_COLUMNS), others, 0.95, {})
    assert empty == []


def test_the_ranks_are_on_the_page_with_a_figure(experiment):
    page = render_report(**experiment.arguments(), lora_ranks=RANKS)
    text = section(page)
    assert "What the rank does on faces" in text
    assert '<th scope="row">8</th>' in text
    assert '<th scope="row">all weights</th>' in text
    assert 'id="ranks-0"' in text
    table = pd.DataFrame({"rank": [1], "mean": [0.5], "low": [None], "high": [None]})
    assert "NaN" not in rank_figure(table, "minilm", "accuracy").to_json()  # one seed
