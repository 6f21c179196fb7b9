"""Figures of few-shot tasks: score against adaptation steps, sinusoids before and after some."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.figure_style import (
    axis_title,
    color,
    dash,
    escaped,
    finish,
    line_mode,
    marker,
    of_group,
    transparent,
)
from headstart.pipelines.evaluation.table_rows import methods_of, of_method

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TRUTH, SUPPORT = "truth", "support"  # rows of the examples that are of no method
# Lines of the sinusoids: before adapting, after the first and after further numbers of steps.
STEP_STYLES = (("#A67C00", "dot"), ("#C1659A", "dash"), ("#1478B8", "solid"))
TRUTH_STYLE, SUPPORT_STYLE = ("#808080", "solid"), ("#D55E00", "circle")
# An error axis ends at so many times the largest error before adapting: beyond it is divergence.
MOST_ERROR = 3.0
# A sinusoid is shown to so many times its own height above and below zero.
MARGIN = 1.6


def of_reading(curves: pd.DataFrame, reading: str) -> pd.DataFrame:
    """The rows of one reading of batch norm, and of the methods that have no batch norm.

    Args:
        curves: of one target and number of shots.
        reading: which.
    """
    keys = ["representation", "method"]
    several = curves.groupby(keys)["reading"].transform("nunique") > 1
    return curves[(curves["reading"] == reading) | ~several]


def over_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean over the seeds of meta-training, of one reading.

    The episodes are the same for all seeds, so the interval of their mean is no wider than the
    mean of their intervals, which is given.

    Returns:
        representation, method, step, mean, low, high, in the order of the methods; infinite where
        one seed is.
    """
    ordered = curves.assign(
        **{c: curves[c].astype(float).fillna(math.inf) for c in ("mean", "low", "high")}
    )
    return ordered.groupby(["representation", "method", "step"], sort=False, as_index=False)[
        ["mean", "low", "high"]
    ].mean()


def steps_figure(curves: pd.DataFrame, metric: str) -> Figure:
    """Score against the number of adaptation steps, one line and band a method.

    A method that takes no steps is a level line. An error has a logarithmic axis, which ends where
    only divergence is above.

    Args:
        curves: of one target, number of shots and reading.
        metric: what they hold.
    """
    import plotly.graph_objects as go

    lines = over_seeds(curves)
    last = int(lines["step"].max())
    error = not HIGHER_IS_BETTER[metric]
    figure = go.Figure()
    for key in methods_of(lines):
        line = of_method(lines, key).sort_values("step")
        if len(line) == 1:
            line = pd.concat([line, line.assign(step=last)] if last else [line])
        band = line[line[["mean", "low", "high"]].map(math.isfinite).all(axis=1)]
        if error:  # zero has no place on a logarithmic axis
            band = band.assign(low=band["low"].clip(lower=0.1 * band["mean"]))
        if len(band) > 1:
            figure.add_scatter(
                x=[*band["step"], *band["step"][::-1]],
                y=[*band["high"], *band["low"][::-1]],
                fill="toself",
                fillcolor=transparent(color(*key), 0.18),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                **of_group(key),
            )
        figure.add_scatter(
            x=line["step"],
            y=line["mean"].where(line["mean"].map(math.isfinite)),
            mode=line_mode(line),
            line={"color": color(*key), "dash": dash(key[1]), "width": 2.5},
            marker={"symbol": marker(key[1]), "size": 8},
            hovertext=[_hover(key, row, metric) for row in line.itertuples()],
            hoverinfo="text",
            **of_group(key),
        )
    figure.update_xaxes(title="gradient steps on the support set")
    if last:
        figure.update_xaxes(range=[-0.02 * last, 1.02 * last])
    figure.update_yaxes(title=axis_title(metric))
    if error:
        low, high = _error_range(lines)
        ticks = [t for p in range(-6, 7) for t in (10.0**p, 2 * 10.0**p, 5 * 10.0**p)]
        ticks = [t for t in ticks if low <= math.log10(t) <= high]
        figure.update_yaxes(type="log", range=[low, high])
        figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return finish(figure)


def pictured(examples: pd.DataFrame) -> list[str]:
    """The methods of which there are predictions, in their order."""
    return [m for m in dict.fromkeys(examples["method"]) if m not in (TRUTH, SUPPORT)]


def line_styles(examples: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of `sinusoid_figure` with their names, for a legend."""
    steps = sorted(examples.loc[examples["method"].isin(pictured(examples)), "step"].unique())
    named = [(_step_name(step), *_step_style(i)) for i, step in enumerate(steps)]
    return [
        {"name": "the true curve", "color": TRUTH_STYLE[0], "dash": TRUTH_STYLE[1]},
        {"name": "the points it learns from", "color": SUPPORT_STYLE[0], "dash": None},
        *({"name": name, "color": c, "dash": d} for name, c, d in named),
    ]


def sinusoid_figure(examples: pd.DataFrame, method: str) -> Figure:
    """One sinusoid: the curve, the points that were learned from, a prediction for each step.

    Args:
        examples: of one episode, with all methods: panels of the same episode have one scale.
        method: whose predictions.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    truth = examples[examples["method"] == TRUTH].sort_values("x")
    figure.add_scatter(
        x=truth["x"],
        y=truth["y"],
        mode="lines",
        name="the true curve",
        line={"color": transparent(TRUTH_STYLE[0], 0.6), "width": 6},
        hoverinfo="skip",
    )
    own = examples[examples["method"] == method]
    for number, (step, line) in enumerate(own.groupby("step")):
        stroke, style = _step_style(number)
        line = line.sort_values("x")
        figure.add_scatter(
            x=line["x"],
            y=line["y"],
            mode="lines",
            name=_step_name(step),
            line={"color": stroke, "dash": style, "width": 2.5},
            hovertext=[f"{_step_name(step)}: {wording.score(y)}" for y in line["y"]],
            hoverinfo="text",
        )
    points = examples[examples["method"] == SUPPORT]
    figure.add_scatter(
        x=points["x"],
        y=points["y"],
        mode="markers",
        name="the points it learns from",
        marker={"color": SUPPORT_STYLE[0], "symbol": SUPPORT_STYLE[1], "size": 9},
        hovertext=[wording.score(y) for y in points["y"]],
        hoverinfo="text",
    )
    height = MARGIN * float(truth["y"].abs().max())
    figure.update_xaxes(range=[float(truth["x"].min()) - 0.2, float(truth["x"].max()) + 0.2])
    figure.update_yaxes(range=[-height, height])
    return finish(figure)


def _step_name(step: Any) -> str:
    return "before" if step == 0 else f"after {step} step{'' if step == 1 else 's'}"


def _step_style(position: int) -> tuple[str, str]:
    return STEP_STYLES[min(position, len(STEP_STYLES) - 1)]


def _error_range(lines: pd.DataFrame) -> list[float]:
    """Of a logarithmic axis."""
    finite = lines[lines["mean"].map(math.isfinite)]
    start = finite.loc[finite["step"] == finite["step"].min(), "mean"]
    most = min(float(finite["mean"].max()), MOST_ERROR * float(start.max()))
    least = max(float(finite["mean"].min()), 1e-6 * most)
    return [math.log10(least) - 0.15, math.log10(most) + 0.1]


def _hover(key: tuple[str, str], row: Any, metric: str) -> str:
    score = wording.plus_minus(row.mean, row.low, row.high)
    return (
        f"<b>{escaped(wording.method_name(*key))}</b><br>{wording.metric_name(metric)} {score}"
        f"<br>{_step_name(row.step)}"
    )
