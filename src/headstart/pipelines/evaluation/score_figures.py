"""Scores against what they cost: labels, and training time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import ALONE, WITHOUT_NAME, baseline_method
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.figure_style import (
    axis_title,
    color,
    dash,
    empty,
    error_bars,
    finish,
    hover,
    log_range,
    marker,
    of_group,
    shots_tick,
    transparent,
)
from headstart.pipelines.evaluation.table_rows import at_most_shots, methods_of, of_method

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# With so few methods every line is shown and gets its band.
FEW_METHODS = 3


def shot_positions(rows: pd.DataFrame) -> dict[int | None, float]:
    """Where each number of shots stands on a logarithmic axis.

    All labels (None) stand at the mean number of labels per class, n_train / classes, with the
    number of classes from n_train at the smallest number of shots; where that is unknown or not
    beyond the largest number of shots, at twice that number.

    Args:
        rows: rows of the leaderboard, columns `shots`, `n_train`.

    Returns:
        Shots -> position, in order. Zero shots stand at half the smallest other number.
    """
    known = sorted({int(s) for s in rows["shots"].dropna()})
    positive = [s for s in known if s > 0]
    positions: dict[int | None, float] = {s: float(s) for s in known}
    if 0 in positions:
        positions[0] = (positive[0] if positive else 1) / 2
    if not rows["shots"].isna().any():
        return positions
    last = positive[-1] if positive else 1
    per_class = math.nan
    if positive:
        few = rows[rows["shots"].eq(positive[0]).fillna(False)]
        classes = float(few["n_train"].astype(float).median()) / positive[0]
        everything = rows.loc[rows["shots"].isna(), "n_train"].astype(float).median()
        per_class = everything / classes if classes else math.nan
    positions[None] = per_class if per_class > 1.2 * last else 2.0 * last
    return positions


def pareto_front(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Which points no other point beats in one respect without losing in the other.

    Args:
        costs: shape (n,), lower is better.
        scores: shape (n,), higher is better.

    Returns:
        Booleans, shape (n,).
    """
    no_worse = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    beaten: np.ndarray = np.any(no_worse & better, axis=1)
    return ~beaten


def label_efficiency(
    leaderboard: pd.DataFrame,
    target: str,
    metric: str,
    recommended: tuple[str, str] | None = None,
) -> Figure:
    """Score against labels per class, one line a method.

    At first each representation shows its best method, and what was trained from scratch is shown,
    too; the other lines appear when they are chosen in the legend. Bands are the intervals of the
    recommended method and of the network from scratch that it is compared with; those of the other
    lines show on hovering.

    Args:
        leaderboard: the leaderboard.
        target: which target.
        metric: which metric.
        recommended: representation and method; by default the best one stands in for it.
    """
    import plotly.graph_objects as go

    rows = _rows(leaderboard, target, metric)
    if rows.empty:
        return empty("No scores")
    positions = shot_positions(rows)
    rows = rows.assign(x=[positions[None if pd.isna(s) else int(s)] for s in rows["shots"]])
    methods = methods_of(rows)
    if len(methods) <= FEW_METHODS:
        shown = banded = set(methods)
    else:
        banded = _with_baseline(rows, recommended or methods[0])
        shown = banded | _best_of_each(rows, metric)
    figure = go.Figure()
    # Lines with a band last, so that they lie above the others.
    for key in sorted(methods, key=lambda key: key in banded):
        strong = key in banded
        line = of_method(rows, key).sort_values("x")
        band = line.dropna(subset=["low", "high"]) if strong else line.iloc[:0]
        visible = True if key in shown else "legendonly"
        if len(band) > 1:
            x, low, high = (band[c].astype(float).tolist() for c in ("x", "low", "high"))
            figure.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                fill="toself",
                fillcolor=transparent(color(*key), 0.15),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                **of_group(key),
            )
        error_y = None if len(band) > 1 or not strong else error_bars(line)
        figure.add_scatter(
            x=line["x"],
            y=line["mean"],
            error_y=error_y,
            mode="lines+markers",
            line={
                "color": color(*key),
                "dash": dash(key[1]),
                "width": 3.5 if strong else 2,
            },
            marker={"symbol": marker(key[1]), "size": 10 if strong else 7},
            hovertext=[hover(row, metric) for _, row in line.iterrows()],
            hoverinfo="text",
            legendrank=1000 + methods.index(key),
            visible=visible,
            **of_group(key),
        )
    figure.update_xaxes(
        title=wording.labels_per(str(rows["track"].iloc[0])),
        type="log",
        tickvals=list(positions.values()),
        ticktext=[shots_tick(shots, x) for shots, x in positions.items()],
        range=log_range(list(positions.values())),
    )
    figure.update_yaxes(title=axis_title(metric))
    return finish(figure)


def cost(leaderboard: pd.DataFrame, target: str, metric: str) -> Figure:
    """Score against training time at the largest number of labels, with the Pareto front.

    Args:
        leaderboard: the leaderboard.
        target: which target.
        metric: which metric.
    """
    import plotly.graph_objects as go

    rows = cost_table(leaderboard, target, metric)
    if rows.empty:
        return empty("No training times")
    figure = go.Figure()
    front = rows[rows["front"]].sort_values("seconds")
    figure.add_scatter(
        x=front["seconds"],
        y=front["mean"],
        mode="lines+markers",
        line={"color": "#808080", "width": 1.5, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 20, "color": "#808080", "line": {"width": 2}},
        hoverinfo="skip",
        name="Pareto front",
    )
    for key in methods_of(rows):
        points = of_method(rows, key)
        figure.add_scatter(
            x=points["seconds"],
            y=points["mean"],
            error_y=error_bars(points),
            mode="markers",
            marker={"symbol": marker(key[1]), "size": 11, "color": color(*key)},
            hovertext=[hover(row, metric) for _, row in points.iterrows()],
            hoverinfo="text",
            **of_group(key),
        )
    low, high = (math.log10(f(rows["seconds"])) for f in (min, max))
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    powers = range(math.ceil(low - 0.15), math.floor(high + 0.15) + 1)
    figure.update_xaxes(
        title="training time of one fit",
        type="log",
        tickvals=[10.0**p for p in powers],
        ticktext=[_time_tick(p) for p in powers],
        range=[low - 0.15, high + 0.15],
    )
    figure.update_yaxes(title=axis_title(metric))
    return finish(figure)


def cost_table(leaderboard: pd.DataFrame, target: str, metric: str) -> pd.DataFrame:
    """The rows of the leaderboard behind the cost figure, the best first.

    Returns:
        The rows at the largest number of labels that have a training time, with `seconds` (at
        least a millisecond, for the logarithmic axis) and `front` (on the Pareto front).
    """
    rows = at_most_shots(_rows(leaderboard, target, metric)).dropna(subset=["train_seconds"])
    seconds = rows["train_seconds"].astype(float).clip(lower=1e-3)
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    front = pareto_front(seconds.to_numpy(), sign * rows["mean"].to_numpy(dtype=float))
    return rows.assign(seconds=seconds, front=front)


def _rows(leaderboard: pd.DataFrame, target: str, metric: str) -> pd.DataFrame:
    here = (leaderboard["target"] == target) & (leaderboard["metric"] == metric)
    rows = leaderboard[here]
    # The best at the largest number of labels first, in the legend as in the leaderboard.
    best = methods_of(at_most_shots(rows)) if len(rows) else []
    rank = {key: i for i, key in enumerate(best)}
    keys = zip(rows["representation"], rows["method"], strict=True)
    return rows.assign(_rank=[rank.get(key, len(rank)) for key in keys]).sort_values(
        "_rank", kind="stable"
    )


def _with_baseline(rows: pd.DataFrame, key: tuple[str, str]) -> set[tuple[str, str]]:
    """A method and the network from scratch that it is compared with."""
    names = of_method(rows, key)["baseline"].dropna().unique()
    alone = baseline_method(str(rows["track"].iloc[0]))
    return {key} | {(str(name), alone) for name in names}


def _best_of_each(rows: pd.DataFrame, metric: str) -> set[tuple[str, str]]:
    """Each representation's best method, and all that was trained from scratch.

    The best is the one that leads at the most numbers of labels: a mean over these would be unfair
    where one method was tried at some of them only. Of equals it is the one with the better mean.
    """
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    keys = {key for key in methods_of(rows) if key[1] in ALONE}
    others = rows[~rows["method"].isin(ALONE)]
    others = others.assign(score=sign * others["mean"].astype(float))
    unnamed = others["representation"].isin(WITHOUT_NAME)
    each = others["representation"].where(~unnamed, others["method"])
    for _, own in others.groupby(each):
        leads = own["score"] == own.groupby("x")["score"].transform("max")
        ranks = own.assign(leads=leads).groupby(["representation", "method"])
        table = ranks.agg(leads=("leads", "sum"), score=("score", "mean"))
        keys.add(table.sort_values(["leads", "score"]).index[-1])
    return keys


def _time_tick(power: int) -> str:
    if power < 0:
        return f"{10 ** (power + 3)} ms"
    return f"{10**power:,} s"
