import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.pipelines.evaluation import score_figures


def rows(shots, n_train):
    return pd.DataFrame({"shots": pd.array(shots, dtype="Int64"), "n_train": n_train})


def test_all_labels_stand_at_their_number_per_class():
    # Two classes: 2 examples at 1 shot, so 480 examples are 240 per class.
    positions = score_figures.shot_positions(rows([1, 5, 20, None], [2, 10, 40, 480]))
    assert positions == {1: 1.0, 5: 5.0, 20: 20.0, None: 240.0}


def test_all_labels_stand_behind_the_last_number_where_theirs_is_unknown_or_smaller():
    assert score_figures.shot_positions(rows([None], [99])) == {None: 2.0}
    assert score_figures.shot_positions(rows([5, None], [10, 11])) == {5: 5.0, None: 10.0}
    assert score_figures.shot_positions(rows([0, 4], [0, 8])) == {0: 2.0, 4: 4.0}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_no_other_point_beats(points):
    costs, scores = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    for i, on_front in enumerate(score_figures.pareto_front(costs, scores)):
        beaten = any(
            c <= costs[i] and s >= scores[i] and (c, s) != (costs[i], scores[i])
            for c, s in zip(costs, scores, strict=True)
        )
        assert on_front != beaten


def test_a_band_is_the_interval_of_the_leaderboard(experiment):
    figure = score_figures.label_efficiency(experiment.leaderboard, "solar_cells", "accuracy")
    board = experiment.leaderboard
    expected = board[
        (board["target"] == "solar_cells")
        & (board["metric"] == "accuracy")
        & (board["method"] == "from_scratch")
        & (board["representation"] == "imagenet_untrained")  # the best method's own baseline
    ]
    band, line = (t for t in figure.data if t.legendgroup == "imagenet_untrained/from_scratch")
    assert list(line.y) == pytest.approx(list(expected["mean"]))
    assert list(band.y)[:4] == pytest.approx(list(expected["high"]))
    assert list(band.y)[4:][::-1] == pytest.approx(list(expected["low"]))
    assert figure.layout.xaxis.ticktext == ("1", "5", "20", "all<br>≈ 240")


def test_every_method_has_a_line_and_the_recommended_one_a_band(experiment):
    recommended = ("pixels", "nearest_neighbors")
    figure = score_figures.label_efficiency(experiment.leaderboard, "faces", "nll", recommended)
    lines = [t.legendgroup for t in figure.data if t.fill != "toself"]
    bands = {t.legendgroup for t in figure.data if t.fill == "toself"}
    tried = experiment.leaderboard[["representation", "method"]].drop_duplicates()
    assert len(lines) == len(set(lines)) == len(tried)
    assert {"/".join(recommended), "random/from_scratch"} <= bands
    assert len(bands) < 6
    assert "lower is better" in figure.layout.yaxis.title.text


def test_one_seed_has_lines_without_bands(build):
    one = build({"t": ["a", "b"]}, {"t": [1, None]}, {"t": 20}, seeds=1, trained_seeds=1)
    figure = score_figures.label_efficiency(one.leaderboard, "t", "accuracy")
    assert all(trace.fill is None for trace in figure.data)
    assert "NaN" not in score_figures.cost(one.leaderboard, "t", "accuracy").to_json()


def test_the_cost_figure_marks_the_front_of_the_metric(experiment):
    for metric, best in (("accuracy", max), ("nll", min)):
        table = score_figures.cost_table(experiment.leaderboard, "faces", metric)
        front = table[table["front"]]
        assert best(table["mean"]) in set(front["mean"])
        assert min(table["seconds"]) in set(front["seconds"])
        ring = score_figures.cost(experiment.leaderboard, "faces", metric).data[0]
        assert sorted(ring.y) == sorted(front["mean"])


def test_at_first_each_representation_shows_its_best_method(experiment):
    figure = score_figures.label_efficiency(experiment.leaderboard, "faces", "accuracy")
    shown = {t.legendgroup for t in figure.data if t.visible is not False and t.fill != "toself"}
    at_first = {
        t.legendgroup for t in figure.data if t.visible in (None, True) and t.fill != "toself"
    }
    assert len(at_first) < len(shown)
    names = {group.split("/")[0] for group in at_first}
    assert names == set(experiment.leaderboard["representation"])
    assert {"random/from_scratch", "imagenet_untrained/from_scratch"} <= at_first


def test_the_best_method_leads_at_the_most_numbers_of_labels():
    # Fine-tuning was tried with all labels alone; its mean is the better one all the same.
    scores = [("linear_probe", 1, 0.5), ("linear_probe", 5, 0.6), ("linear_probe", None, 0.7)]
    scores += [("nearest_neighbors", 1, 0.4), ("nearest_neighbors", 5, 0.5)]
    scores += [("fine_tune", None, 0.8)]
    board = pd.DataFrame(scores, columns=["method", "shots", "mean"]).assign(
        track="images",
        target="t",
        representation="rotation",
        metric="accuracy",
        n_train=10,
        seeds=1,
        low=np.nan,
    )
    board = board.assign(high=np.nan, baseline=None, train_seconds=1.0, trainable_parameters=1)
    other = board.assign(representation="contrastive", mean=board["mean"] + 0.01)
    board = pd.concat([board, other]).astype({"shots": "Int64"})
    figure = score_figures.label_efficiency(board, "t", "accuracy", ("contrastive", "fine_tune"))
    assert {t.legendgroup for t in figure.data if t.visible is True} == {
        "rotation/linear_probe",
        "contrastive/linear_probe",
        "contrastive/fine_tune",  # recommended
    }
