import re

import numpy as np
import pandas as pd
import pytest

from headstart.pipelines.evaluation import report, training_section, wording
from headstart.pipelines.evaluation.answer import against_baseline, compared_with
from headstart.pipelines.evaluation.pretext_section import above_chance, learned, pretext_sources
from headstart.pipelines.evaluation.quality_table import quality_table, rank_correlations


@pytest.fixture(scope="module")
def page(experiment):
    return report.render_report(**experiment.arguments())


def without_scripts(page):
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_the_answer_stands_first(page, experiment):
    text = without_scripts(page)
    for target, recommendation in experiment.recommendations.items():
        at = text.index(recommendation["reason"].replace("'", "&#39;"))
        assert at < text.index('id="labels"'), target
    order = "labels hurt cost leaderboard calibration maps mistakes training data reading setup"
    places = [text.index(f'<h2 id="{name}"') for name in order.split()]
    assert places == sorted(places)
    assert text.count("<h1") == 1


def test_the_page_refers_to_nothing_outside_of_itself(page):
    text = without_scripts(page)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"", text)
    assert not re.findall(r"<link(?![^>]*data:)|@import|url\(|<script[^>]*\ssrc=", text)
    assert len(page) < 7_000_000


def test_mistakes_are_pictures_with_both_names(page, experiment):
    text = without_scripts(page)
    pretext = sum(
        len(example.pictures)
        for examples in experiment.pretext_examples.values()
        for example in examples
    )
    assert 12 < text.count('<img src="data:image/') - pretext <= 24
    assert re.search(r'alt="faces/\d+\.png: is person \d\d, predicted person \d\d"', text)


def test_names_from_the_data_are_shown_as_text(build):
    names = ["<script>alert(1)</script>", "a & b <b>c</b>", "\"quoted\" 'name'"]
    nasty = build({"birds": names}, {"birds": [1, None]}, {"birds": 20}, seeds=2, trained_seeds=2)
    page = report.render_report(**nasty.arguments())
    assert "<script>alert(1)" not in page
    assert "<b>c</b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in without_scripts(page)
    assert "&lt;b&gt;empty&lt;/b&gt;.png" in without_scripts(page)


def test_one_of_everything_and_nothing_of_the_rest_is_a_report(build):
    only = {("random", "from_scratch"): (0.1, 0.9, 0.0, 100)}
    one = build({"t": ["a", "b"]}, {"t": [None]}, {"t": 20}, only, seeds=1, trained_seeds=1)
    nothing = pd.DataFrame({"target": []})
    right = one.predictions.assign(predicted=one.predictions["label"])
    bare = one.with_changes(
        histories=nothing,
        maps=nothing,
        predictions=right,
        quarantine=one.quarantine.iloc[:0],
        summaries={},
        environment={},
    )
    text = without_scripts(report.render_report(**bare.arguments()))
    for words in (
        "Train the pretext network from scratch",
        "Transfer does not pay here",
        "No comparison with an interval",
        "No training history",
        "No map was made",
        "Every test example was predicted right",
        "Nothing was set aside",
    ):
        assert words in text
    assert "nan" not in re.sub(r'data-value="nan"', "", text)

    no_predictions = report.render_report(
        **bare.with_changes(predictions=nothing, recommendations={}, images={}).arguments()
    )
    assert "No predictions were kept" in no_predictions


def test_two_hundred_classes_with_long_names_stay_a_modest_page(build):
    names = [f"{'a very long name of a class ' * 4}{i}" for i in range(200)]
    many = build({"t": names}, {"t": [1, None]}, {"t": 6}, seeds=2, trained_seeds=2)
    page = report.render_report(**many.arguments())
    assert "200 (" not in page
    assert len(page) < 9_000_000


def test_rows_without_pictures_are_named(experiment):
    bare = experiment.with_changes(images={}, pretext_examples={})
    text = without_scripts(report.render_report(**bare.arguments()))
    assert "<img" not in text
    assert re.search(r"faces/\d+\.png", text)


def test_a_baseline_that_ran_out_of_steps_is_said_beside_the_gain(experiment):
    histories = experiment.histories.copy()
    last = histories.groupby(["target", "method", "shots", "seed", "name"], dropna=False)["step"]
    at_end = histories["step"] == last.transform("max")
    judged = (histories["method"] == "from_scratch") & (histories["name"] == "validation_loss")
    words = "Training from scratch was still improving when its steps ran out"
    histories.loc[judged, "value"] = (~at_end[judged]).astype(float)  # the best point is the last
    assert words in report.render_report(**experiment.with_changes(histories=histories).arguments())
    histories.loc[judged, "value"] = at_end[judged].astype(float)
    assert words not in report.render_report(
        **experiment.with_changes(histories=histories).arguments()
    )


def test_every_pretext_task_is_shown_with_score_chance_and_pictures(page, experiment):
    section = page.split('id="pretext"')[1].split("<h2")[0]
    assert "Nobody cares for its" in section
    assert "Accuracy 90% on 100 held-out images" in section
    assert "would have 25%" in section
    assert "300 steps, 21 passes over 900 images" in section
    for (_, task), examples in experiment.pretext_examples.items():
        for k in range(len(examples)):
            assert f"{task} &lt;{k}&gt;" in section
    assert "it has no &lt;labels&gt;" in section


def test_a_task_that_learned_nothing_is_not_praised(page, experiment):
    worse = experiment.pretext_scores.assign(value=0.25)
    text = report.render_report(**experiment.with_changes(pretext_scores=worse).arguments())
    assert "That is not clearly above chance" in text
    assert "That is not clearly above chance" not in page


@pytest.mark.parametrize(
    ("score", "value", "chance", "n", "clearly"),
    [
        ("accuracy", 0.40, 0.25, 100, True),
        ("accuracy", 0.30, 0.25, 100, False),  # guessing varies by 0.043 from draw to draw
        ("accuracy", 0.30, 0.25, 10_000, True),
        ("retrieval accuracy", 0.02, 0.018, 28, False),
        ("explained variance", 0.01, 0.0, 28, True),
        ("explained variance", -0.2, 0.0, 28, False),
    ],
)
def test_a_pretext_score_is_above_chance_when_guessing_would_not_reach_it(
    score, value, chance, n, clearly
):
    row = {"score": score, "value": value, "chance": chance, "n_heldout": n}
    assert above_chance(row) == clearly
    assert ("not clearly above chance" in learned(row)) != clearly


def test_only_the_network_that_the_answer_is_compared_with_stands_beside_its_calibration(
    page, experiment
):
    answer = experiment.recommendations["faces"]
    assert answer["baseline"] == "imagenet_untrained"
    section = page.split('id="calibration"')[1].split("<h2")[0]
    assert "From scratch · network of imagenet:" in section
    assert "From scratch · pretext network:" not in section


def test_a_source_of_its_own_counts_for_every_target(experiment):
    shared = experiment.pretext_scores.query("source == 'faces'").assign(source="photographs")
    scores = pd.concat([shared, experiment.pretext_scores.query("source == 'faces'")])
    first = dict.fromkeys(["faces", "solar_cells"], "accuracy")
    sources = pretext_sources(scores, pd.DataFrame(), {}, experiment.leaderboard, first, {})
    assert [source["name"] for source in sources] == ["faces", "photographs"]
    own, photographs = (
        [reached["target"] for reached in source["tasks"][0]["reached"]] for source in sources
    )
    assert own == ["faces"]
    assert sorted(photographs) == ["faces", "solar_cells"]


def test_one_row_of_examples_is_open_and_the_others_are_folded(experiment):
    (task, *_), *_ = (
        source["tasks"]
        for source in pretext_sources(
            experiment.pretext_scores,
            pd.DataFrame(),
            experiment.pretext_examples,
            experiment.leaderboard,
            {"faces": "accuracy", "solar_cells": "nll"},
            {},
        )
    )
    assert sum(map(len, task["open"])) == 4
    assert len(task["open"]) + len(task["folded"]) == 4


def test_without_pretraining_there_is_no_section_of_it(page, experiment):
    bare = experiment.with_changes(
        pretext_scores=experiment.pretext_scores.iloc[:0],
        pretext_histories=experiment.pretext_histories.iloc[:0],
        pretext_examples={},
        qualities=experiment.qualities.iloc[:0],
    )
    text = report.render_report(**bare.arguments())
    assert "What each pretext task sees" not in text
    assert "Effective rank" not in text
    assert "What each pretext task sees" in page


def test_qualities_stand_beside_the_probe(experiment):
    table = quality_table(
        experiment.qualities, experiment.leaderboard, "faces", "accuracy"
    ).set_index("representation")
    board = experiment.leaderboard
    probe = board[
        (board["target"] == "faces")
        & (board["metric"] == "accuracy")
        & (board["method"] == "linear_probe")
        & board["shots"].isna()
    ].set_index("representation")["mean"]
    assert table["mean"].to_dict() == pytest.approx(probe.to_dict())
    assert table["mean"].is_monotonic_decreasing
    ranks = table[["uniformity", "mean"]].rank()
    found = rank_correlations(table.reset_index(), "accuracy")["uniformity"]
    assert found == pytest.approx(np.corrcoef(ranks.to_numpy().T)[0, 1])


def test_every_score_of_the_leaderboard_is_in_a_table(page, experiment):
    text = without_scripts(page)
    rows = experiment.leaderboard[experiment.leaderboard["metric"] == "accuracy"]
    for _, row in rows.iterrows():
        assert wording.plus_minus(row["mean"], row["low"], row["high"]) in text


def test_a_gain_is_shown_beside_the_network_that_it_is_against(page, experiment):
    own = experiment.leaderboard[experiment.leaderboard["target"] == "faces"]
    for representation, network in (("imagenet", "imagenet_untrained"), ("rotation", "random")):
        beside = against_baseline(own, representation, "fine_tune", "accuracy")
        scratch = own[
            (own["representation"] == network)
            & (own["method"] == "from_scratch")
            & (own["metric"] == "accuracy")
        ].sort_values("shots", na_position="last")
        assert list(beside["scratch"]) == list(scratch["mean"])
    words = (
        "Trained from scratch for the gain: the network of imagenet for imagenet and "
        "the pretext network for all others."
    )
    assert compared_with(own) == words
    assert words in page
    assert compared_with(own[own["representation"] != "imagenet"]) == ""


def test_trainings_whose_steps_ran_out_are_named(page, experiment):
    improving = training_section.still_improving(
        experiment.histories[experiment.histories["target"] == "faces"]
    )
    assert improving["improving"].sum() > 0
    assert "Still improving when the steps ran out" in page
