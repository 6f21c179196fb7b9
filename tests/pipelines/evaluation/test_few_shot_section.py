import re

import numpy as np
import pandas as pd
import pytest

from headstart.pipelines.evaluation import few_shot_figures, wording
from headstart.pipelines.evaluation.few_shot_section import few_shot_view
from headstart.pipelines.evaluation.report import render_report

SEEDS, EPISODES = 2, 40


@pytest.fixture(scope="module")
def tables(few_shot):
    return few_shot


@pytest.fixture(scope="module")
def page(tables):
    return render_report(**tables.arguments())


def shown(page):
    """The section, and the page without its scripts."""
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    return text.split('id="few-shot"')[1].split("<h2")[0], text


def view_of(tables, target, metric, **changes):
    plots = {}
    given = {"curves": tables.curves, "examples": tables.examples, "trainings": tables.trainings}
    view = few_shot_view(
        {"id": "t", "name": target, "track": "few_shot", "metric": metric},
        tables.leaderboard[tables.leaderboard["target"] == target],
        **(given | changes),
        plots=plots,
    )
    return view["few_shot"], plots


@pytest.fixture(scope="module")
def glyphs(tables):
    return view_of(tables, "glyphs.5_way", "accuracy")


@pytest.fixture(scope="module")
def sinusoids(tables):
    return view_of(tables, "sinusoids", "mse")


def test_every_score_and_gain_of_every_reading_stands_in_the_section(page, tables):
    section, _ = shown(page)
    board = tables.leaderboard
    assert {"accuracy", "accuracy_transductive", "mse"} == set(board["metric"])
    for row in board.itertuples():
        assert wording.plus_minus(row.mean, row.low, row.high) in section
        if row.pairs:
            assert wording.plus_minus(row.gain, row.gain_low, row.gain_high, True) in section
    assert f"1 shot, {EPISODES} episodes" in section
    assert "1,500 × 16" in section


def test_the_readings_of_batch_norm_are_told_apart(tables, glyphs, page):
    view, _ = glyphs
    rows = {(r["representation"], r["method"]): r for r in view["tables"][0]["rows"]}
    board = tables.leaderboard[tables.leaderboard["shots"] == 1].set_index(["method", "metric"])
    maml = rows["conv4", "maml"]
    assert maml["mean"] == board.loc[("maml", "accuracy"), "mean"]
    assert maml["transductive"]["mean"] == board.loc[("maml", "accuracy_transductive"), "mean"]
    assert maml["transductive"]["mean"] > maml["mean"] + 0.01
    assert rows["pixels", "nearest_centroid"]["transductive"] is None
    section, text = shown(page)
    assert "normalized by the statistics of its support set" in section
    assert "There is no batch norm in this network" in section.split("<h3>sinusoids")[1]
    assert "not transductive</dd>" in text.split('id="labels"')[0]

    own = tables.curves.query("method == 'maml' and shots == 1")
    running = own.replace({"reading": {"support": "running"}})
    view, _ = view_of(tables, "glyphs.5_way", "accuracy", curves=running)
    assert view["reading"].startswith("running statistics")


def test_harm_is_said_in_a_sentence_and_only_of_what_learned_from_other_data(page):
    section, _ = shown(page)
    glyphs, sinusoids = section.split("<h3>sinusoids")
    sentence = re.search(r"Transfer hurts in \d+ of \d+.*?</p>", glyphs, re.DOTALL).group()
    assert "Reptile with 1 shot (−0.0" in sentence
    assert "pixels" not in sentence
    assert "Transfer hurts nowhere" in sinusoids


def test_diverged_episodes_are_counted_over_the_seeds(sinusoids, page):
    view, _ = sinusoids
    (only,) = view["diverged"]
    assert (only["method"], only["shots"], only["diverged"]) == ("fomaml", 5, 3 * SEEDS)
    section, _ = shown(page)
    words = f"first-order MAML with 5 shots in {3 * SEEDS} of {EPISODES * SEEDS} episodes."
    assert words in section
    assert "No episode diverged" in section.split("<h3>sinusoids")[0]
    assert "∞" in section


def test_the_curves_have_a_variant_for_each_reading_and_number_of_shots(tables, glyphs):
    view, plots = glyphs
    assert list(view["steps"].values()) == [
        "5 shots, not transductive",
        "5 shots, transductive",
        "1 shot, not transductive",
        "1 shot, transductive",
    ]
    figures = plots["t-steps"]
    assert list(figures) == list(view["steps"])
    lines = {
        (name, trace.legendgroup): trace
        for name, figure in figures.items()
        for trace in figure.data
        if trace.fill is None
    }
    own = tables.curves.query("method == 'maml' and shots == 5 and target == 'glyphs.5_way'")
    for name, reading in (("5-support", "support"), ("5-query", "query")):
        means = own[own["reading"] == reading].groupby("step")["mean"].mean()
        assert list(lines[name, "conv4/maml"].y) == pytest.approx(list(means))
        # Without batch norm and without steps: there in both, and level.
        level = lines[name, "pixels/nearest_centroid"]
        assert list(level.x) == [0, 10]
        assert level.y[0] == level.y[1]


def test_an_error_has_a_logarithmic_axis_that_divergence_does_not_stretch(tables, sinusoids):
    axis = sinusoids[1]["t-steps"]["5-"].layout.yaxis
    assert axis.type == "log"
    start = tables.curves.query("step == 0 and target == 'sinusoids'")["mean"].max()
    assert start < 10 ** axis.range[1] < 4 * start
    own = tables.curves.query("target == 'sinusoids' and shots == 5")
    exploded = own.assign(mean=own["mean"].replace(np.inf, 1e30))
    figure = few_shot_figures.steps_figure(exploded, "mse")
    assert 10 ** figure.layout.yaxis.range[1] < 4 * start
    assert {float(t) for t in axis.ticktext} == set(axis.tickvals)


def test_a_diverged_line_ends_and_the_others_stay(sinusoids):
    figure = sinusoids[1]["t-steps"]["5-"]
    lines = {t.legendgroup: t for t in figure.data if t.fill is None}
    diverged, whole = lines["dense/fomaml"].y, lines["dense/maml"].y
    assert np.isfinite(diverged[:2]).all()
    assert np.isnan(np.asarray(diverged[2:], float)).all()
    assert np.isfinite(whole).all()


def test_the_interval_over_seeds_is_the_mean_of_theirs():
    rows = pd.DataFrame(
        [("conv4", "maml", 0, 0.5, 0.4, 0.6), ("conv4", "maml", 0, 0.7, 0.68, 0.72)],
        columns=["representation", "method", "step", "mean", "low", "high"],
    )
    (row,) = few_shot_figures.over_seeds(rows).itertuples()
    assert (row.mean, row.low, row.high) == pytest.approx((0.6, 0.54, 0.66))
    gone = rows.assign(mean=[0.5, None])
    assert few_shot_figures.over_seeds(gone)["mean"].tolist() == [np.inf]


def test_a_sinusoid_is_drawn_before_and_after_with_its_points(tables, glyphs, sinusoids):
    view, plots = sinusoids
    assert view["pictures"][0] == "maml"
    assert next(iter(view["examples"].values())) == "5 shots, example 1"
    figure = plots["t-sinusoids-0"]["10-1"]
    names = [trace.name for trace in figure.data]
    assert names == [
        "the true curve",
        "before",
        "after 1 step",
        "after 10 steps",
        "the points it learns from",
    ]
    drawn = {trace.name: trace for trace in figure.data}
    own = tables.examples.query("shots == 10 and episode == 1")
    assert sorted(drawn["the points it learns from"].y) == sorted(
        own.query("method == 'support'")["y"]
    )
    after = own.query("method == 'maml' and step == 10").sort_values("x")
    assert list(drawn["after 10 steps"].y) == list(after["y"])
    # Panels of one episode have one scale, whatever a method predicts.
    ranges = {plots[f"t-sinusoids-{i}"]["10-1"].layout.yaxis.range for i in range(6)}
    assert len(ranges) == 1
    assert glyphs[0]["pictures"] == []
    assert set(glyphs[1]) == {"t-steps"}


def test_parts_about_single_examples_are_left_out(page):
    _, text = shown(page)
    for part in ("calibration", "maps", "mistakes", "leaderboard"):
        assert f'id="{part}"' not in text
        assert f'href="#{part}"' not in text
    assert "No predictions were kept" not in text
    assert "nan" not in re.sub(r'data-value="nan"', "", text)


def test_beside_images_the_parts_are_about_the_images_alone(tables, build):
    methods = {
        ("random", "from_scratch"): (0.1, 0.5, 0.0, 9),
        ("pca", "linear_probe"): (0, 1, 0, 9),
    }
    experiment = build({"faces": ["a", "b"]}, {"faces": [1]}, {"faces": 20}, methods, 2, 2)
    both = experiment.arguments() | {
        "leaderboard": pd.concat([tables.leaderboard, experiment.leaderboard]),
        "recommendations": tables.recommendations | experiment.recommendations,
        "quarantine": pd.concat(
            [
                experiment.quarantine,
                pd.DataFrame(
                    [("glyphs", "few_shot", "a.png", "torn"), ("faces", "few_shot", "b", "bent")],
                    columns=["target", "role", "path", "reason"],
                ),
            ]
        ),
    }
    section, text = shown(render_report(**both))
    assert "<h3>glyphs, 5-way</h3>" in section
    for part in ("calibration", "maps", "mistakes", "leaderboard"):
        one = text.split(f'<h2 id="{part}"')[1].split("<h2")[0]
        assert "faces" in one
        assert "sinusoids" not in one
    # Images come first, and what was set aside is told of the family that it belongs to.
    answers = text.split('id="labels"')[0]
    assert answers.index("faces</p>") < answers.index("glyphs, 5-way</p>")
    data = text.split('<h2 id="data"')[1].split("<h2")[0]
    faces, glyphs = data.split("<h3>faces")[1].split("<h3>glyphs, 5-way")
    assert "torn (1)" in glyphs
    assert "bent" not in faces + glyphs


def test_without_curves_and_trainings_the_scores_are_still_told(tables):
    nothing = pd.DataFrame()
    view, plots = view_of(
        tables, "sinusoids", "mse", curves=nothing, examples=nothing, trainings=nothing
    )
    assert plots == {}
    assert view["steps"] == {}
    assert [len(table["rows"]) for table in view["tables"]] == [6, 6]
    sinusoids = tables.leaderboard.query("target == 'sinusoids'")
    bare = tables.arguments() | {
        "leaderboard": sinusoids,
        "few_shot_curves": nothing,
        "sinusoid_examples": nothing,
    }
    section, _ = shown(render_report(**bare | {"few_shot_trainings": None}))
    assert "How many steps" not in section


def test_the_answer_is_put_into_words(tables, page):
    answers = shown(page)[1].split('id="labels"')[0]
    best = tables.recommendations["glyphs.5_way"]
    assert best["shots"] == 5
    assert "with 5 shots" in best["reason"]
    assert "on average over episodes" in best["reason"]
    name = {"maml": "MAML", "prototypical": "Prototypical networks"}[best["method"]]
    assert best["reason"].startswith(f"{name} has the best")
    assert f"<h3>{name}</h3>" in answers
    assert "glyphs, 5-way" in answers
    assert "With 1 shot it already does as well as training from scratch with 5 shots" in answers


def test_tables_have_no_parts_about_single_examples_either(tables):
    board = tables.leaderboard.query("target == 'sinusoids'")
    board = board.assign(track="tables", target="weather", metric="rmse", representation="features")
    board["method"] = board["method"].replace({"from_scratch": "separate"})
    tasks = board.assign(target="weather.JFK")
    results = tables.results.query("target == 'sinusoids'").assign(
        track="tables", target="weather", metric="rmse"
    )
    page = render_report(
        **tables.arguments()
        | {"leaderboard": pd.concat([board, tasks]), "recommendations": {}, "results": results}
    )
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "weather" in text
    assert "JFK</h3>" not in text
    for part in ("calibration", "maps", "mistakes", "few-shot"):
        assert f'id="{part}"' not in text
