import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.learning import metrics
from headstart.pipelines.evaluation import figures


def rows(shots, n_train):
    return pd.DataFrame({"shots": pd.array(shots, dtype="Int64"), "n_train": n_train})


def test_all_labels_stand_at_their_number_per_class():
    # Two classes: 2 examples at 1 shot, so 480 examples are 240 per class.
    positions = figures.shot_positions(rows([1, 5, 20, None], [2, 10, 40, 480]))
    assert positions == {1: 1.0, 5: 5.0, 20: 20.0, None: 240.0}


def test_all_labels_stand_behind_the_last_number_where_theirs_is_unknown_or_smaller():
    assert figures.shot_positions(rows([None], [99])) == {None: 2.0}
    assert figures.shot_positions(rows([5, None], [10, 11])) == {5: 5.0, None: 10.0}
    assert figures.shot_positions(rows([0, 4], [0, 8])) == {0: 2.0, 4: 4.0}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_no_other_point_beats(points):
    costs, scores = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    for i, on_front in enumerate(figures.pareto_front(costs, scores)):
        beaten = any(
            c <= costs[i] and s >= scores[i] and (c, s) != (costs[i], scores[i])
            for c, s in zip(costs, scores, strict=True)
        )
        assert on_front != beaten


def test_the_error_of_the_reliability_diagram_is_the_metric(experiment):
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([0.4] * 5, 500)
    labels = rng.integers(0, 5, 500)
    curve = figures.reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
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
    assert figures.calibration_error(fits) == pytest.approx(row["mean"], abs=1e-12)


def test_a_band_is_the_interval_of_the_leaderboard(experiment):
    figure = figures.label_efficiency(experiment.leaderboard, "solar_cells", "accuracy")
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
    figure = figures.label_efficiency(experiment.leaderboard, "faces", "nll", recommended)
    lines = [t.legendgroup for t in figure.data if t.fill != "toself"]
    bands = {t.legendgroup for t in figure.data if t.fill == "toself"}
    tried = experiment.leaderboard[["representation", "method"]].drop_duplicates()
    assert len(lines) == len(set(lines)) == len(tried)
    assert {"/".join(recommended), "random/from_scratch"} <= bands
    assert len(bands) < 6
    assert "lower is better" in figure.layout.yaxis.title.text


def test_one_seed_has_lines_without_bands(build):
    one = build({"t": ["a", "b"]}, {"t": [1, None]}, {"t": 20}, seeds=1, trained_seeds=1)
    figure = figures.label_efficiency(one.leaderboard, "t", "accuracy")
    assert all(trace.fill is None for trace in figure.data)
    assert "NaN" not in figures.cost(one.leaderboard, "t", "accuracy").to_json()


def test_the_cost_figure_marks_the_front_of_the_metric(experiment):
    for metric, best in (("accuracy", max), ("nll", min)):
        table = figures.cost_table(experiment.leaderboard, "faces", metric)
        front = table[table["front"]]
        assert best(table["mean"]) in set(front["mean"])
        assert min(table["seconds"]) in set(front["seconds"])
        ring = figures.cost(experiment.leaderboard, "faces", metric).data[0]
        assert sorted(ring.y) == sorted(front["mean"])


def test_a_method_looks_the_same_in_every_figure(experiment):
    target = "solar_cells"
    drawn = (
        figures.label_efficiency(experiment.leaderboard, target, "accuracy"),
        figures.cost(experiment.leaderboard, target, "accuracy"),
        figures.calibration(experiment.predictions, target),
        figures.training_curves(experiment.histories, target),
    )
    for figure in drawn:
        traces = [t for t in figure.data if t.legendgroup and t.fill != "toself"]
        assert traces
        for trace in traces:
            representation, method = trace.legendgroup.split("/")
            assert figures.color(representation) in (trace.line.color, trace.marker.color)
            if "markers" in trace.mode:
                assert trace.marker.symbol == figures.marker(method)
            else:
                assert trace.line.dash == figures.dash(method)


def test_an_unknown_representation_gets_the_same_color_every_time():
    assert figures.color("my_own") == figures.color("my_own") in figures.COLORS.values()
    assert figures.dash("my_own") == figures.dash("my_own")
    assert figures.marker("my_own") == figures.marker("my_own")


@pytest.mark.parametrize("page", ["#ffffff", "#14171c"])
def test_colors_stand_out_from_a_light_and_a_dark_page(page):
    # WCAG 2.1, success criterion 1.4.11: 3:1 for graphics.
    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in figures.COLORS.values():
        dark, light = sorted([luminance(color), luminance(page)])
        assert (light + 0.05) / (dark + 0.05) >= 3, color


def test_forty_classes_are_forty_pairs_of_color_and_marker():
    assert len({figures.class_style(i) for i in range(50)}) == 50


def test_few_classes_have_a_legend_and_many_a_name_for_each_point(experiment):
    few = figures.representation_map(experiment.maps, "solar_cells")
    assert {t.name for t in few.data if t.showlegend} == {"defective", "sound"}
    many = figures.representation_map(experiment.maps, "faces", ["imagenet"])
    (points,) = many.data
    assert len(points.customdata) == len(points.hovertext) == len(points.x) == 400


def test_class_names_are_text_not_markup():
    maps = pd.DataFrame(
        {
            "target": "t",
            "representation": "pixels",
            "row": [0, 1],
            "label": ["<b>bold</b>", "<script>"],
            "split": "test",
            "x": [0.0, 1.0],
            "y": [0.0, 1.0],
        }
    )
    figure = figures.representation_map(maps, "t")
    assert figure.data[0].name == "&lt;b&gt;bold&lt;/b&gt;"
    assert figure.data[1].hovertext == ("&lt;script&gt;",)


def test_training_curves_show_losses_and_not_the_learning_rate(experiment):
    figure = figures.training_curves(experiment.histories, "faces")
    assert [a.text for a in figure.layout.annotations] == ["train loss", "validation loss"]
    assert len(figure.data) == 2 * 4 * 3  # panels, methods, seeds
    assert sum(t.showlegend is not False for t in figure.data) == 4
    one = figures.training_curves(experiment.histories, "faces", 1)
    assert list(one.data[0].y) != list(figure.data[0].y)


def test_what_is_missing_is_said(experiment):
    nothing = pd.DataFrame({"target": []})
    for figure, words in (
        (figures.label_efficiency(experiment.leaderboard, "no", "accuracy"), "No scores"),
        (figures.cost(experiment.leaderboard, "no", "accuracy"), "No training times"),
        (figures.calibration(nothing, "no"), "No predictions"),
        (figures.representation_map(nothing, "no"), "No map"),
        (figures.training_curves(nothing, "no"), "No training history"),
        (figures.pretext_curves(experiment.pretext_histories, "no"), "No pretraining history"),
    ):
        assert figure.layout.annotations[0].text == words


def test_figures_are_strict_json_of_modest_size(experiment):
    for target in ("solar_cells", "faces"):
        for figure in (
            figures.label_efficiency(experiment.leaderboard, target, "accuracy"),
            figures.cost(experiment.leaderboard, target, "accuracy"),
            figures.calibration(experiment.predictions, target),
            figures.representation_map(experiment.maps, target),
            figures.training_curves(experiment.histories, target),
            figures.pretext_curves(experiment.pretext_histories, target),
        ):
            text = figure.to_json()
            json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
            assert len(text) < 200_000


def test_pretext_curves_have_a_panel_a_task_and_held_out_beside_training(experiment):
    for quantity in ("loss", "score"):
        figure = figures.pretext_curves(experiment.pretext_histories, "faces", quantity)
        assert len(figure.data) == 4  # two tasks, held-out and training
        history = experiment.pretext_histories
        expected = history[
            (history["source"] == "faces")
            & (history["task"] == "rotation")
            & (history["name"] == f"heldout_{quantity}")
        ]
        line = next(t for t in figure.data if t.name == "held-out")
        assert list(line.x) == expected["step"].tolist()
        assert list(line.y) == pytest.approx(expected["value"].tolist())
        titles = [a.text for a in figure.layout.annotations]
        assert titles == ["rotation", "contrastive"]
    (one,) = {
        t.line.color
        for t in figures.pretext_curves(
            experiment.pretext_histories, "faces", tasks=["rotation"]
        ).data
    }
    assert one == figures.color("rotation")


def test_at_first_each_representation_shows_its_best_method(experiment):
    figure = figures.label_efficiency(experiment.leaderboard, "faces", "accuracy")
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
        target="t", representation="rotation", metric="accuracy", n_train=10, seeds=1, low=np.nan
    )
    board = board.assign(high=np.nan, baseline=None, train_seconds=1.0, trainable_parameters=1)
    other = board.assign(representation="contrastive", mean=board["mean"] + 0.01)
    board = pd.concat([board, other]).astype({"shots": "Int64"})
    figure = figures.label_efficiency(board, "t", "accuracy", ("contrastive", "fine_tune"))
    assert {t.legendgroup for t in figure.data if t.visible is True} == {
        "rotation/linear_probe",
        "contrastive/linear_probe",
        "contrastive/fine_tune",  # recommended
    }


def test_no_two_representations_share_a_color():
    assert len(set(figures.COLORS.values())) == len(figures.COLORS)


def test_many_trained_methods_are_drawn_as_means_over_seeds(build):
    names = ["imagenet", "rotation", "jigsaw", "contrastive", "supervised"]
    methods = {(name, "fine_tune"): (0.2, 0.8, 0.0, 10) for name in names}
    many = build({"t": ["a", "b"]}, {"t": [None]}, {"t": 20}, methods)
    figure = figures.training_curves(many.histories, "t")
    assert len(figure.data) == 2 * len(names)  # panels, methods
    line = next(t for t in figure.data if t.legendgroup == "jigsaw/fine_tune")
    own = many.histories[
        (many.histories["representation"] == "jigsaw") & (many.histories["name"] == "train_loss")
    ]
    assert list(line.y) == pytest.approx(own.groupby("step")["value"].mean().tolist())
