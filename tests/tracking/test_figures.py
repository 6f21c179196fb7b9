"""What becomes MLflow's parameters and metrics."""

from headstart.tracking.figures import flat, headline_metrics


def test_metrics_are_the_recommended_methods_figures_and_none_where_there_is_none():
    answer = {"metric": "rmse", "test_mean": 2.0, "test_low": None, "test_high": None}
    answer |= {"gain": -0.5, "gain_low": -0.75, "gain_high": -0.25, "reason": "words"}
    assert headline_metrics({"weather": answer}) == {
        "weather/rmse": 2.0,
        "weather/gain": -0.5,
        "weather/gain_low": -0.75,
        "weather/gain_high": -0.25,
    }


def test_nested_parameters_become_one_level():
    nested = {"draws": {"shots": [1, None], "of": {"faces": {}}}, "targets": ["faces"], "n": None}
    assert flat(nested) == {
        "draws.shots": "[1, None]",
        "draws.of.faces": "{}",
        "targets": "['faces']",
        "n": "None",
    }
