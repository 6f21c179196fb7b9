"""What of an experiment becomes MLflow's parameters and metrics."""

from collections.abc import Iterator, Mapping
from typing import Any

# Of each target's recommended method: name of the metric -> key in recommendations.json.
_FIGURES = {
    "{metric}": "test_mean",
    "{metric}_low": "test_low",
    "{metric}_high": "test_high",
    "{metric}_validation": "validation_score",
    "gain": "gain",
    "gain_low": "gain_low",
    "gain_high": "gain_high",
    "train_seconds": "train_seconds",
    "trainable_parameters": "trainable_parameters",
}


def headline_metrics(recommendations: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Test score, transfer gain and cost of each target's recommended method.

    Args:
        recommendations: target -> figures of the method (`headstart.learning.recommendation`).

    Returns:
        `<target>/accuracy`, `<target>/accuracy_low`, …, `<target>/gain`, …: low and high are the
        ends of an interval; figures that there are none of are left out.
    """
    return {
        f"{target}/{name.format(metric=answer['metric'])}": float(answer[key])
        for target, answer in recommendations.items()
        for name, key in _FIGURES.items()
        if answer.get(key) is not None
    }


def flat(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Nested parameters as one level, `pretraining.rotation.training.steps`.

    Args:
        parameters: JSON-like values.

    Returns:
        Name -> value as text.
    """
    return {name: str(value) for name, value in _leaves(parameters, "")}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
