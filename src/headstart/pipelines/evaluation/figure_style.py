"""How the figures of the report look.

A color is a representation, a dash and a marker are a method, the same in every figure; on tables
of several tasks and on few-shot tasks, where all start from the same features or network, a color
is a method, too. Colors are
at least 3:1 against a white and against a dark page, and the first four stay apart for color-blind
readers (after Okabe and Ito 2008). Backgrounds are transparent. Every figure carries its own legend
for Kedro-Viz; traces of one method share a `legendgroup`, so that a page can have one legend.

Where there is nothing to draw, the figure says so in its middle.
"""

from __future__ import annotations

import html
import math
import zlib
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.learning.leaderboard import BASELINE, WITHOUT_NAME
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
    "smollm2": "#3E8E7E",
}
# Of methods that all start from the same features, or the same network.
METHOD_COLORS = {
    "separate": "#808080",
    "pooled": "#1478B8",
    "pooled_with_task": "#00939E",
    "layer_sharing": "#D55E00",
    "regularized": "#009E73",
    "pcgrad": "#C1659A",
    "from_scratch": "#66688C",
    "maml": "#CC1166",
    "fomaml": "#00939E",
    "anil": "#8A6FD0",
    "reptile": "#009E73",
    "prototypical": "#D55E00",
    "pooled_pretraining": "#C1659A",
    "joint_training": "#A67C00",
}
DASHES = {"fine_tune": "solid", "linear_probe": "dash", "nearest_neighbors": "dot"}
DASHES |= {BASELINE: "longdash", "lora": "dashdot", "in_context": "longdashdot"}
DASHES |= {"maml": "solid", "reptile": "dot", "prototypical": "dashdot"}
MARKERS = {"fine_tune": "circle", "linear_probe": "square", "nearest_neighbors": "diamond"}
MARKERS |= {BASELINE: "x", "lora": "triangle-up", "in_context": "cross"}
MARKERS |= {"maml": "circle", "reptile": "triangle-up"}

# More classes than this cannot be told apart by color alone.
COLORED_CLASSES = 10
CLASS_MARKERS = ("circle", "square", "diamond", "cross", "triangle-up")
_CLASS_COLORS = list(COLORS.values())[:COLORED_CLASSES]


def color(representation: str, method: str = "") -> str:
    """The color of a representation; one that is not listed gets the same one every time.

    Where all methods start from the same features, each has a color of its own.

    Args:
        representation: its name.
        method: what uses it.
    """
    if representation in WITHOUT_NAME:
        return METHOD_COLORS.get(method) or _pick(list(COLORS.values()), method)
    return COLORS.get(representation) or _pick(list(COLORS.values()), representation)


def dash(method: str) -> str:
    """The line style of a method."""
    return DASHES.get(method) or _pick(list(DASHES.values()), method)


def marker(method: str) -> str:
    """The marker symbol of a method."""
    return MARKERS.get(method) or _pick(list(MARKERS.values()), method)


def class_style(position: int) -> tuple[str, str]:
    """Color and marker of the class at this position of the sorted names in a map."""
    symbol = CLASS_MARKERS[position // COLORED_CLASSES % len(CLASS_MARKERS)]
    return _CLASS_COLORS[position % COLORED_CLASSES], symbol


def of_group(key: tuple[str, str]) -> dict[str, Any]:
    """What all traces of one method have in common."""
    return {"legendgroup": "/".join(key), "name": escaped(wording.method_name(*key))}


def hover(row: pd.Series, metric: str) -> str:
    """The numbers of one row of the leaderboard, shown on hovering."""
    score = wording.plus_minus(row["mean"], row["low"], row["high"])
    lines = [
        f"<b>{escaped(wording.method_name(row['representation'], row['method']))}</b>",
        f"{wording.metric_name(metric)} {score}",
        f"{wording.labels(row['shots'], row['track'])}, "
        f"{wording.draws(row['seeds'], row['track'])}",
        f"trained in {wording.seconds(row['train_seconds'])}, "
        f"{wording.count(row['trainable_parameters'])} parameters",
    ]
    return "<br>".join(lines)


def line_mode(line: pd.DataFrame) -> str:
    """Few evaluations are shown as such; one alone would be no line at all."""
    return "lines+markers" if len(line) <= FEW_EVALUATIONS else "lines"


def error_bars(rows: pd.DataFrame) -> dict[str, Any]:
    """The intervals of some rows of the leaderboard."""
    half = (rows["high"].astype(float) - rows["low"].astype(float)) / 2
    return {"type": "data", "array": half.fillna(0.0).tolist(), "thickness": 1.5, "width": 4}


def axis_title(metric: str) -> str:
    """A metric at an axis."""
    name = wording.sentence(wording.short_metric_name(metric))
    return name if HIGHER_IS_BETTER[metric] else f"{name} (lower is better)"


def shots_tick(shots: int | None, x: float) -> str:
    """A number of shots at an axis, where `x` is its position."""
    return f"all<br>≈ {x:,.0f}" if shots is None else str(shots)


def log_range(positions: list[float]) -> list[float]:
    """The range of a logarithmic axis, with a margin about the positions."""
    low, high = math.log10(min(positions)), math.log10(max(positions))
    margin = 0.06 * (high - low) if high > low else 0.5
    return [low - margin, high + margin]


def transparent(hexadecimal: str, alpha: float) -> str:
    """A color of the form #rrggbb with a transparency, `alpha`, between 0 and 1."""
    r, g, b = (int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r}, {g}, {b}, {alpha})"


def escaped(value: Any) -> str:
    """Plotly reads some HTML in its texts; a class name is never meant as such."""
    return html.escape(str(value), quote=False)


def empty(message: str) -> Figure:
    """A figure that says that there is nothing to draw."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_annotation(text=message, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finish(figure)


def finish(figure: Figure) -> Figure:
    """The same look for every figure."""
    clear = "rgba(0, 0, 0, 0)"
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
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        font={"size": 14},
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    return figure


def _pick(choices: list[str], name: str) -> str:
    return choices[zlib.crc32(name.encode()) % len(choices)]
