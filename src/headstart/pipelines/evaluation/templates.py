"""The templates of the report and of the model card, and the words that they use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import figure_style, wording


def environment_of_templates(autoescape: bool) -> Any:
    """Jinja2 environment of the templates in this folder, with the wording as filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(wording, name)
        for name in ("words", "sentence", "labels", "score", "decimals", "seconds", "count", "size")
    }
    environment.globals |= {
        "bounds": wording.bounds,
        "plus_minus": wording.plus_minus,
        "method_name": wording.method_name,
        "network_name": wording.network_name,
        "bare_method_name": wording.bare_method_name,
        "baseline_name": wording.baseline_name,
        "draws": wording.draws,
        "labels_per": wording.labels_per,
        "metric_name": wording.metric_name,
        "short_metric_name": wording.short_metric_name,
        "higher_is_better": HIGHER_IS_BETTER,
        "style": lambda representation, method: {
            "color": figure_style.color(representation, method),
            "dash": figure_style.dash(method),
            "marker": figure_style.marker(method),
        },
    }
    return environment
