"""Whether confidence can be believed: the reliability diagram and its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import ALONE
from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.figure_style import (
    color,
    dash,
    empty,
    finish,
    marker,
    of_group,
)
from headstart.pipelines.evaluation.table_rows import (
    at_most_shots,
    methods_of,
    of_method,
    of_target,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Accuracy against confidence in equal-width bins (Guo et al. 2017, section 2).

    Args:
        confidence: probability of the predicted class, shape (n,).
        correct: whether the predicted class is the true one, shape (n,).
        bins: number of bins, each (low, high].

    Returns:
        One row a bin that is not empty: `confidence`, `accuracy` (means), `share` of the rows.
        The expected calibration error is the sum of share x |accuracy - confidence|.
    """
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float)})
    grouped = table.groupby(which)
    return grouped.mean().assign(share=grouped.size() / len(table)).reset_index(drop=True)


def calibration(
    predictions: pd.DataFrame,
    target: str,
    shown: Sequence[tuple[str, str]] | None = None,
    bins: int = 15,
    fewest: int = 10,
) -> Figure:
    """Reliability diagram: accuracy against confidence, at the largest number of labels.

    The predictions of all seeds are pooled for the curve; the error in the legend is the mean over
    seeds, as in the leaderboard. A marker's area is the share of predictions in its bin.

    Args:
        predictions: test predictions of all fits.
        target: which target.
        shown: pairs of representation and method; by default the most accurate one and all that
            was trained from scratch.
        bins: number of equal-width bins.
        fewest: bins with fewer predictions are not drawn, they would be noise.
    """
    import plotly.graph_objects as go

    rows = at_most_shots(of_target(predictions, target))
    rows = rows.assign(correct=rows["label"] == rows["predicted"])
    if shown is None:
        accuracy = rows.groupby(["representation", "method"])["correct"].mean()
        shown = methods_of(accuracy.sort_values(ascending=False).head(1).reset_index())
        shown += [key for key in methods_of(rows) if key[1] in ALONE]
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": "#808080", "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        name="perfectly calibrated",
    )
    for key in dict.fromkeys(shown):
        one = of_method(rows, key)
        if one.empty:
            continue
        curve = reliability(one["confidence"].to_numpy(), one["correct"].to_numpy(), bins)
        curve = curve[curve["share"] * len(one) >= min(fewest, len(one) / bins)]
        error = calibration_error(one, bins)
        figure.add_scatter(
            x=curve["confidence"],
            y=curve["accuracy"],
            mode="lines+markers",
            line={"color": color(*key), "dash": dash(key[1]), "width": 2},
            marker={
                "symbol": marker(key[1]),
                "size": 7 + 20 * np.sqrt(curve["share"]),
                "color": color(*key),
                "line": {"width": 0},
            },
            hovertext=[
                f"confidence {c:.2f}, right {a:.2f}<br>{s:.0%} of the predictions"
                for c, a, s in curve[["confidence", "accuracy", "share"]].itertuples(index=False)
            ],
            hoverinfo="text",
            **of_group(key) | {"name": f"{wording.method_name(*key)} (error {error:.3f})"},
        )
    if len(figure.data) == 1:
        return empty("No predictions")
    figure.update_xaxes(title="confidence", range=[-0.02, 1.04])
    figure.update_yaxes(title="share that is right", range=[-0.02, 1.04])
    return finish(figure)


def calibration_error(predictions: pd.DataFrame, bins: int = 15) -> float:
    """Expected calibration error of one method, the mean over its seeds."""
    errors = []
    for _, one in predictions.groupby("seed"):
        correct = (one["label"] == one["predicted"]).to_numpy()
        curve = reliability(one["confidence"].to_numpy(), correct, bins)
        errors.append((curve["share"] * (curve["accuracy"] - curve["confidence"]).abs()).sum())
    return float(np.mean(errors)) if errors else math.nan
