"""The figures of the report, one function a figure.

A color is a representation, a dash and a marker are a method, the same in every figure. Colors are
at least 3:1 against a white and against a dark page, and the first four stay apart for color-blind
readers (after Okabe and Ito 2008). Backgrounds are transparent. Every figure carries its own legend
for Kedro-Viz; traces of one method share a `legendgroup`, so that a page can have one legend.

Where there is nothing to draw, the figure says so in its middle.
"""

from __future__ import annotations

import html
import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import BASELINE
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import wording

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FEW_EVALUATIONS = 5  # of a training: up to here each is marked
COLORS = {
    "imagenet": "#1478B8",
    "random": "#D55E00",
    "pca": "#009E73",
    "pixels": "#808080",
    "rotation": "#C1659A",
    "jigsaw": "#A67C00",
    "colorization": "#8A6FD0",
    "inpainting": "#00939E",
    "contrastive": "#C2504B",
    "masked_language": "#5F8F2E",
    "next_word": "#4F7BD9",
    "glove": "#A0785A",
    "minilm": "#B05CC0",
    "supervised": "#CC1166",
    "imagenet_untrained": "#66688C",
}
DASHES = {"fine_tune": "solid", "linear_probe": "dash", "nearest_neighbors": "dot"}
DASHES |= {BASELINE: "longdash", "lora": "dashdot", "in_context": "longdashdot"}
MARKERS = {"fine_tune": "circle", "linear_probe": "square", "nearest_neighbors": "diamond"}
MARKERS |= {BASELINE: "x", "lora": "triangle-up", "in_context": "cross"}

# With so few methods every line is shown and gets its band.
FEW_METHODS = 3
# With more methods than this, training curves are means over seeds.
FEW_TRAINED = 4
# More classes than this cannot be told apart by color alone.
COLORED_CLASSES = 10
CLASS_MARKERS = ("circle", "square", "diamond", "cross", "triangle-up")
_CLASS_COLORS = list(COLORS.values())[:COLORED_CLASSES]


def color(representation: str) -> str:
    """The color of a representation; one that is not listed gets the same one every time."""
    return COLORS.get(representation) or _pick(list(COLORS.values()), representation)


def dash(method: str) -> str:
    """The line style of a method."""
    return DASHES.get(method) or _pick(list(DASHES.values()), method)


def marker(method: str) -> str:
    """The marker symbol of a method."""
    return MARKERS.get(method) or _pick(list(MARKERS.values()), method)


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


def of_target(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows of one target; where there are none, with the columns that are asked for here."""
    rows = table[table["target"] == target]
    columns = ["representation", "method", "shots", "seed", "row", "label", "predicted"]
    columns += ["confidence", "step", "name", "value", "x", "y"]
    return rows if len(rows) else rows.reindex(columns=columns)


def at_most_shots(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the most labels: all labels where they were tried."""
    everything = table["shots"].isna()
    return table[everything] if everything.any() else table[table["shots"] == table["shots"].max()]


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
        return _empty("No scores")
    positions = shot_positions(rows)
    rows = rows.assign(x=[positions[None if pd.isna(s) else int(s)] for s in rows["shots"]])
    methods = _order(rows)
    if len(methods) <= FEW_METHODS:
        shown = banded = set(methods)
    else:
        banded = _with_baseline(rows, recommended or methods[0])
        shown = banded | _best_of_each(rows, metric)
    figure = go.Figure()
    # Lines with a band last, so that they lie above the others.
    for key in sorted(methods, key=lambda key: key in banded):
        strong = key in banded
        line = _of_method(rows, key).sort_values("x")
        band = line.dropna(subset=["low", "high"]) if strong else line.iloc[:0]
        visible = True if key in shown else "legendonly"
        if len(band) > 1:
            x, low, high = (band[c].astype(float).tolist() for c in ("x", "low", "high"))
            figure.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                fill="toself",
                fillcolor=_transparent(color(key[0]), 0.15),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                **_group(key),
            )
        error_y = None if len(band) > 1 or not strong else _error_bars(line)
        figure.add_scatter(
            x=line["x"],
            y=line["mean"],
            error_y=error_y,
            mode="lines+markers",
            line={
                "color": color(key[0]),
                "dash": dash(key[1]),
                "width": 3.5 if strong else 2,
            },
            marker={"symbol": marker(key[1]), "size": 10 if strong else 7},
            hovertext=[_hover(row, metric) for _, row in line.iterrows()],
            hoverinfo="text",
            legendrank=1000 + methods.index(key),
            visible=visible,
            **_group(key),
        )
    figure.update_xaxes(
        title="labels per class",
        type="log",
        tickvals=list(positions.values()),
        ticktext=[_tick(shots, x) for shots, x in positions.items()],
        range=_log_range(list(positions.values())),
    )
    figure.update_yaxes(title=_axis(metric))
    return _finish(figure)


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
        return _empty("No training times")
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
    for key in _order(rows):
        points = _of_method(rows, key)
        figure.add_scatter(
            x=points["seconds"],
            y=points["mean"],
            error_y=_error_bars(points),
            mode="markers",
            marker={"symbol": marker(key[1]), "size": 11, "color": color(key[0])},
            hovertext=[_hover(row, metric) for _, row in points.iterrows()],
            hoverinfo="text",
            **_group(key),
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
    figure.update_yaxes(title=_axis(metric))
    return _finish(figure)


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
        shown = _order(accuracy.sort_values(ascending=False).head(1).reset_index())
        shown += [key for key in _order(rows) if key[1] == BASELINE]
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
        one = _of_method(rows, key)
        if one.empty:
            continue
        curve = reliability(one["confidence"].to_numpy(), one["correct"].to_numpy(), bins)
        curve = curve[curve["share"] * len(one) >= min(fewest, len(one) / bins)]
        error = calibration_error(one, bins)
        figure.add_scatter(
            x=curve["confidence"],
            y=curve["accuracy"],
            mode="lines+markers",
            line={"color": color(key[0]), "dash": dash(key[1]), "width": 2},
            marker={
                "symbol": marker(key[1]),
                "size": 7 + 20 * np.sqrt(curve["share"]),
                "color": color(key[0]),
                "line": {"width": 0},
            },
            hovertext=[
                f"confidence {c:.2f}, right {a:.2f}<br>{s:.0%} of the predictions"
                for c, a, s in curve[["confidence", "accuracy", "share"]].itertuples(index=False)
            ],
            hoverinfo="text",
            **_group(key) | {"name": f"{wording.method_name(*key)} (error {error:.3f})"},
        )
    if len(figure.data) == 1:
        return _empty("No predictions")
    figure.update_xaxes(title="confidence", range=[-0.02, 1.04])
    figure.update_yaxes(title="share that is right", range=[-0.02, 1.04])
    return _finish(figure)


def calibration_error(predictions: pd.DataFrame, bins: int = 15) -> float:
    """Expected calibration error of one method, the mean over its seeds."""
    errors = []
    for _, one in predictions.groupby("seed"):
        correct = (one["label"] == one["predicted"]).to_numpy()
        curve = reliability(one["confidence"].to_numpy(), correct, bins)
        errors.append((curve["share"] * (curve["accuracy"] - curve["confidence"]).abs()).sum())
    return float(np.mean(errors)) if errors else math.nan


def representation_map(
    maps: pd.DataFrame, target: str, representations: Sequence[str] | None = None
) -> Figure:
    """A 2-D map of each representation, one point an example, colored by class.

    With more classes than `COLORED_CLASSES`, a class is a color and a marker together, which
    repeat after fifty; hovering names the class (`customdata` holds it).

    Args:
        maps: columns target, representation, row, label, split, x, y.
        target: which target.
        representations: which ones; all by default.
    """
    from plotly.subplots import make_subplots

    rows = of_target(maps, target)
    names = list(rows["representation"].unique()) if representations is None else representations
    names = [name for name in names if (rows["representation"] == name).any()]
    if not names:
        return _empty("No map")
    columns = min(2, len(names))
    height = -(-len(names) // columns)
    figure = make_subplots(
        rows=height,
        cols=columns,
        subplot_titles=[_text(wording.words(name)) for name in names] if len(names) > 1 else None,
        horizontal_spacing=0.04,
        vertical_spacing=0.2 / height,
    )
    classes = sorted(rows["label"].astype(str).unique())
    place = {name: i for i, name in enumerate(classes)}
    for i, name in enumerate(names):
        points = rows[rows["representation"] == name]
        label = points["label"].astype(str)
        where = {"row": i // columns + 1, "col": i % columns + 1}
        if len(classes) <= COLORED_CLASSES:
            groups = [(c, points[label == c]) for c in classes]
        else:
            groups = [(f"{len(classes)} classes", points)]
        for group, some in groups:
            styles = [class_style(place[c]) for c in some["label"].astype(str)]
            if group in place:
                styles = [class_style(place[group])]
            colors, symbols = zip(*styles, strict=True)
            figure.add_scatter(
                x=some["x"].to_numpy(dtype=np.float32),
                y=some["y"].to_numpy(dtype=np.float32),
                mode="markers",
                marker={
                    "size": 7,
                    "opacity": 0.75,
                    "color": colors if len(colors) > 1 else colors[0],
                    "symbol": symbols if len(symbols) > 1 else symbols[0],
                },
                customdata=some["label"].astype(str).tolist(),
                hovertext=[_text(c) for c in some["label"]],
                hoverinfo="text",
                name=_text(group),
                legendgroup=group,
                showlegend=i == 0 and len(classes) <= COLORED_CLASSES,
                **where,
            )
    if len(names) > 1:
        figure.update_layout(height=100 + 300 * height)
    figure = _finish(figure)
    # A map has no scale: distances matter, axes do not.
    figure.update_xaxes(showticklabels=False, showgrid=False, mirror=True)
    figure.update_yaxes(showticklabels=False, showgrid=False, mirror=True)
    return figure


def class_style(position: int) -> tuple[str, str]:
    """Color and marker of the class at this position of the sorted names in a map."""
    symbol = CLASS_MARKERS[position // COLORED_CLASSES % len(CLASS_MARKERS)]
    return _CLASS_COLORS[position % COLORED_CLASSES], symbol


def training_curves(histories: pd.DataFrame, target: str, shots: int | None = -1) -> Figure:
    """Losses and scores during training, one panel a quantity.

    One line a training; with more than `FEW_TRAINED` methods one line a method, the mean over its
    seeds.

    Args:
        histories: columns target, representation, method, shots, seed, step, name, value.
        target: which target.
        shots: how many labels (None: all); by default the largest number.
    """
    from plotly.subplots import make_subplots

    rows = curves_of(histories, target)
    if shots == -1:
        rows = at_most_shots(rows)
    else:
        same = rows["shots"].isna() if shots is None else rows["shots"].eq(shots).fillna(False)
        rows = rows[same]
    if rows.empty:
        return _empty("No training history")
    names = list(dict.fromkeys(rows["name"]))
    averaged = len(_order(rows)) > FEW_TRAINED
    if averaged:
        of_line = ["representation", "method", "name", "step"]
        rows = rows.groupby(of_line, as_index=False, sort=False)["value"].mean().assign(seed=-1)
    figure = make_subplots(
        rows=len(names),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.12 / max(1, len(names) - 1),
        subplot_titles=[wording.words(name) for name in names],
    )
    legend: set[tuple[str, str]] = set()
    for i, name in enumerate(names):
        panel = rows[rows["name"] == name]
        for (representation, method, seed), line in panel.groupby(
            ["representation", "method", "seed"]
        ):
            key = (str(representation), str(method))
            line = line.sort_values("step")
            which = "mean over seeds" if averaged else f"seed {seed}"
            figure.add_scatter(
                x=line["step"].to_numpy(dtype=np.int32),
                y=line["value"].to_numpy(dtype=np.float32),
                mode=_mode(line),
                marker={"symbol": marker(key[1]), "size": 6},
                line={"color": color(key[0]), "dash": dash(key[1]), "width": 2},
                opacity=0.8,
                hovertemplate=f"{_text(wording.method_name(*key))}, {which}"
                "<br>step %{x}: %{y:.3f}<extra></extra>",
                row=i + 1,
                col=1,
                **_group(key) | {"showlegend": key not in legend},
            )
            legend.add(key)
    figure.update_xaxes(title="step", row=len(names), col=1)
    figure.update_layout(height=100 + 210 * len(names))
    return _finish(figure)


def pretext_curves(
    histories: pd.DataFrame,
    source: str,
    quantity: str = "loss",
    tasks: Sequence[str] | None = None,
) -> Figure:
    """Loss or score of pretext tasks during pretraining, on held-out images beside training.

    One panel a task, each with a scale of its own: a loss over four rotations and one over colors
    have nothing in common.

    Args:
        histories: columns source, task, step, name, value; names train_<quantity> and
            heldout_<quantity> are drawn.
        source: which source.
        quantity: "loss" or "score".
        tasks: which ones; all by default.
    """
    from plotly.subplots import make_subplots

    kinds = {f"heldout_{quantity}": "held-out", f"train_{quantity}": "training"}
    rows = histories[(histories["source"] == source) & histories["name"].isin(list(kinds))]
    rows = rows.dropna(subset=["value"])
    names = [name for name in dict.fromkeys(rows["task"]) if tasks is None or name in tasks]
    if not names:
        return _empty("No pretraining history")
    columns = min(2, len(names))
    height = -(-len(names) // columns)
    figure = make_subplots(
        rows=height,
        cols=columns,
        subplot_titles=[_text(wording.words(name)) for name in names] if len(names) > 1 else None,
        vertical_spacing=0.3 / height,
    )
    for i, name in enumerate(names):
        where = {"row": i // columns + 1, "col": i % columns + 1}
        for kind, words in kinds.items():
            line = rows[(rows["task"] == name) & (rows["name"] == kind)].sort_values("step")
            held_out = words == "held-out"
            figure.add_scatter(
                x=line["step"].to_numpy(dtype=np.int32),
                y=line["value"].to_numpy(dtype=np.float32),
                mode=_mode(line),
                marker={"symbol": "circle", "size": 7 if held_out else 4},
                line={
                    "color": color(name),
                    "dash": "solid" if held_out else "dot",
                    "width": 2.5 if held_out else 1.5,
                },
                hovertemplate=f"{_text(wording.words(name))}, {words} {quantity}"
                "<br>step %{x}: %{y:.3f}<extra></extra>",
                name=words,
                legendgroup=words,
                showlegend=i == 0,
                **where,
            )
        figure.update_xaxes(title="step", **where)
        figure.update_yaxes(title=quantity, **where)
    if len(names) > 1:
        figure.update_layout(height=100 + 280 * height)
    return _finish(figure)


def curves_of(histories: pd.DataFrame, target: str) -> pd.DataFrame:
    """What was minimized and what it was judged by: `train_loss` and all `validation_…`."""
    rows = of_target(histories, target)
    names = rows["name"].astype(str)
    return rows[(names == "train_loss") | names.str.startswith("validation_")]


def _order(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods in the order of their first row."""
    pairs = rows[["representation", "method"]].itertuples(index=False)
    return list(dict.fromkeys((str(r), str(m)) for r, m in pairs))


def _of_method(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return rows[(rows["representation"] == key[0]) & (rows["method"] == key[1])]


def _rows(leaderboard: pd.DataFrame, target: str, metric: str) -> pd.DataFrame:
    here = (leaderboard["target"] == target) & (leaderboard["metric"] == metric)
    rows = leaderboard[here]
    # The best at the largest number of labels first, in the legend as in the leaderboard.
    best = _order(at_most_shots(rows)) if len(rows) else []
    rank = {key: i for i, key in enumerate(best)}
    keys = zip(rows["representation"], rows["method"], strict=True)
    return rows.assign(_rank=[rank.get(key, len(rank)) for key in keys]).sort_values(
        "_rank", kind="stable"
    )


def _with_baseline(rows: pd.DataFrame, key: tuple[str, str]) -> set[tuple[str, str]]:
    """A method and the network from scratch that it is compared with."""
    names = _of_method(rows, key)["baseline"].dropna().unique()
    return {key} | {(str(name), BASELINE) for name in names}


def _best_of_each(rows: pd.DataFrame, metric: str) -> set[tuple[str, str]]:
    """Each representation's best method, and all that was trained from scratch.

    The best is the one that leads at the most numbers of labels: a mean over these would be unfair
    where one method was tried at some of them only. Of equals it is the one with the better mean.
    """
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    keys = {key for key in _order(rows) if key[1] == BASELINE}
    others = rows[rows["method"] != BASELINE]
    others = others.assign(score=sign * others["mean"].astype(float))
    for _, own in others.groupby("representation"):
        leads = own["score"] == own.groupby("x")["score"].transform("max")
        ranks = own.assign(leads=leads).groupby(["representation", "method"])
        table = ranks.agg(leads=("leads", "sum"), score=("score", "mean"))
        keys.add(table.sort_values(["leads", "score"]).index[-1])
    return keys


def _mode(line: pd.DataFrame) -> str:
    """Few evaluations are shown as such; one alone would be no line at all."""
    return "lines+markers" if len(line) <= FEW_EVALUATIONS else "lines"


def _group(key: tuple[str, str]) -> dict[str, Any]:
    return {"legendgroup": "/".join(key), "name": _text(wording.method_name(*key))}


def _hover(row: pd.Series, metric: str) -> str:
    score = wording.plus_minus(row["mean"], row["low"], row["high"])
    lines = [
        f"<b>{_text(wording.method_name(row['representation'], row['method']))}</b>",
        f"{wording.metric_name(metric)} {score}",
        f"{wording.labels(row['shots'])}, {row['seeds']} seed{'s' if row['seeds'] > 1 else ''}",
        f"trained in {wording.seconds(row['train_seconds'])}, "
        f"{wording.count(row['trainable_parameters'])} parameters",
    ]
    return "<br>".join(lines)


def _error_bars(rows: pd.DataFrame) -> dict[str, Any]:
    half = (rows["high"].astype(float) - rows["low"].astype(float)) / 2
    return {"type": "data", "array": half.fillna(0.0).tolist(), "thickness": 1.5, "width": 4}


def _axis(metric: str) -> str:
    name = wording.sentence(wording.short_metric_name(metric))
    return name if HIGHER_IS_BETTER[metric] else f"{name} (lower is better)"


def _tick(shots: int | None, x: float) -> str:
    return f"all<br>≈ {x:,.0f}" if shots is None else str(shots)


def _time_tick(power: int) -> str:
    if power < 0:
        return f"{10 ** (power + 3)} ms"
    return f"{10**power:,} s"


def _log_range(positions: list[float]) -> list[float]:
    low, high = math.log10(min(positions)), math.log10(max(positions))
    margin = 0.06 * (high - low) if high > low else 0.5
    return [low - margin, high + margin]


def _transparent(hexadecimal: str, alpha: float) -> str:
    r, g, b = (int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r}, {g}, {b}, {alpha})"


def _pick(choices: list[str], name: str) -> str:
    return choices[zlib.crc32(name.encode()) % len(choices)]


def _text(value: Any) -> str:
    """Plotly reads some HTML in its texts; a class name is never meant as such."""
    return html.escape(str(value), quote=False)


def _empty(message: str) -> Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_annotation(text=message, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _finish(figure)


def _finish(figure: Figure) -> Figure:
    transparent = "rgba(0, 0, 0, 0)"
    axis = {
        "gridcolor": "rgba(128, 128, 128, 0.25)",
        "zeroline": False,
        "linecolor": "#808080",
        "showline": True,
        "automargin": True,
    }
    figure.update_layout(
        hovermode="closest",
        template="none",
        paper_bgcolor=transparent,
        plot_bgcolor=transparent,
        font={"size": 14},
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    return figure
