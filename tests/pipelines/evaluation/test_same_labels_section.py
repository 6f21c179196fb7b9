import pandas as pd
import pytest

from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.report import render_report
from headstart.pipelines.evaluation.same_labels_section import (
    cost_tables,
    same_labels,
    same_labels_figure,
    ways,
)

METHODS = {
    ("tfidf_svd", "linear_probe"): (0.2, 0.5, -1.0, 500),
    ("minilm", "linear_probe"): (0.3, 0.7, -1.0, 1_540),
    ("minilm", "fine_tune"): (0.3, 0.8, 1.2, 22_700_000),
    ("minilm", "lora"): (0.35, 0.8, 1.1, 75_000),
    ("minilm_untrained", "from_scratch"): (0.0, 0.3, 1.3, 22_700_000),
    ("smollm2", "in_context"): (0.5, 0.6, 1.5, 0),
}
COMPARED = {"minilm/linear_probe", "minilm/fine_tune", "minilm/lora", "smollm2/in_context"}


@pytest.fixture(scope="module")
def texts(build):
    made = build({"news": ["a", "b"]}, {"news": [1, 4, 16]}, {"news": 60}, METHODS)
    board = made.leaderboard.assign(track="text")
    # A prompt has no room for the most labels.
    board = board[(board["method"] != "in_context") | (board["shots"] < 16)]
    return made.with_changes(leaderboard=board)


def test_what_adapts_a_model_its_frozen_probe_and_prompts_are_compared(texts):
    rows = ways(texts.leaderboard)
    assert set(rows["representation"] + "/" + rows["method"]) == COMPARED


def test_the_figure_holds_means_and_intervals_of_the_leaderboard(texts):
    figure = same_labels_figure(ways(texts.leaderboard), "accuracy")
    lines = {line.legendgroup: line for line in figure.data}
    assert set(lines) == COMPARED
    board = texts.leaderboard
    lora = board[(board["method"] == "lora") & (board["metric"] == "accuracy")]
    lora = lora.sort_values("shots")
    line = lines["minilm/lora"]
    assert list(line.x) == [1.0, 4.0, 16.0]
    assert list(line.y) == pytest.approx(list(lora["mean"]))
    assert list(line.error_y.array) == pytest.approx(list((lora["high"] - lora["low"]) / 2))
    assert len(lines["smollm2/in_context"].x) == 2
    assert figure.layout.xaxis.ticktext == ("1", "4", "16")


def test_the_first_table_is_of_the_most_labels_that_every_way_was_given(texts):
    tables = cost_tables(ways(texts.leaderboard), "accuracy")
    assert [table["shots"] for table in tables] == [4, 16, 1]
    assert len(tables[0]["rows"]) == len(COMPARED)
    means = [row["mean"] for row in tables[0]["rows"]]
    assert means == sorted(means, reverse=True)
    losses = [row["mean"] for row in cost_tables(ways(texts.leaderboard), "nll")[0]["rows"]]
    assert losses == sorted(losses)


def test_scores_and_costs_are_on_the_page(texts):
    page = render_report(**texts.arguments())
    text = page.split('id="same-labels"')[1].split("<h2")[0]
    board = ways(texts.leaderboard)
    for _, row in board[board["metric"] == "accuracy"].iterrows():
        for words in (
            wording.plus_minus(row["mean"], row["low"], row["high"]),
            wording.count(row["trainable_parameters"]),
            wording.seconds(row["train_seconds"]).replace("<", "&lt;"),
            wording.size(row["peak_memory_bytes"]).replace("<", "&lt;"),
        ):
            assert words in text
    assert 'id="target-0-same-labels"' in text
    assert 'href="#same-labels"' in page


def test_there_is_no_section_for_images_nor_for_one_way_alone(texts, experiment):
    assert "same-labels" not in render_report(**experiment.arguments())
    view = {"id": "t", "track": "text", "metrics": ["accuracy"], "metric": "accuracy"}
    plots: dict[str, object] = {}
    alone = texts.leaderboard[texts.leaderboard["method"] == "in_context"]
    for board in (alone, pd.DataFrame(columns=alone.columns)):
        assert same_labels(view, board, plots) == {"same_labels": None}
    assert plots == {}
