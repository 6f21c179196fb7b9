import json

import pandas as pd
import pytest

from headstart.pipelines.evaluation import (
    calibration_figure,
    figure_style,
    map_figure,
    score_figures,
    training_figures,
)


def test_a_method_looks_the_same_in_every_figure(experiment):
    target = "solar_cells"
    drawn = (
        score_figures.label_efficiency(experiment.leaderboard, target, "accuracy"),
        score_figures.cost(experiment.leaderboard, target, "accuracy"),
        calibration_figure.calibration(experiment.predictions, target),
        training_figures.training_curves(experiment.histories, target),
    )
    for figure in drawn:
        traces = [t for t in figure.data if t.legendgroup and t.fill != "toself"]
        assert traces
        for trace in traces:
            representation, method = trace.legendgroup.split("/")
            assert figure_style.color(representation) in (trace.line.color, trace.marker.color)
            if "markers" in trace.mode:
                assert trace.marker.symbol == figure_style.marker(method)
            else:
                assert trace.line.dash == figure_style.dash(method)


def test_what_is_missing_is_said(experiment):
    nothing = pd.DataFrame({"target": []})
    for figure, words in (
        (score_figures.label_efficiency(experiment.leaderboard, "no", "accuracy"), "No scores"),
        (score_figures.cost(experiment.leaderboard, "no", "accuracy"), "No training times"),
        (calibration_figure.calibration(nothing, "no"), "No predictions"),
        (map_figure.representation_map(nothing, "no"), "No map"),
        (training_figures.training_curves(nothing, "no"), "No training history"),
        (
            training_figures.pretext_curves(experiment.pretext_histories, "no"),
            "No pretraining history",
        ),
    ):
        assert figure.layout.annotations[0].text == words


def test_figures_are_strict_json_of_modest_size(experiment):
    for target in ("solar_cells", "faces"):
        for figure in (
            score_figures.label_efficiency(experiment.leaderboard, target, "accuracy"),
            score_figures.cost(experiment.leaderboard, target, "accuracy"),
            calibration_figure.calibration(experiment.predictions, target),
            map_figure.representation_map(experiment.maps, target),
            training_figures.training_curves(experiment.histories, target),
            training_figures.pretext_curves(experiment.pretext_histories, target),
        ):
            text = figure.to_json()
            json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
            assert len(text) < 200_000
