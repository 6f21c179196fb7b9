"""The picture of a plan: memory by part, one bar a training.

Models differ by factors of a thousand, so each has a panel and an axis of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# At least 3:1 against a white and against a dark page, apart for color-blind readers.
COLORS = {
    "weights": "#1478B8",
    "gradients": "#D55E00",
    "optimizer": "#009E73",
    "activations": "#808080",
    "adapters": "#C1659A",
    "cache": "#A67C00",
}
_BAR, _GAP, _TOP, _BOTTOM = 30, 70, 90, 60  # pixels: a bar, between panels, around all
_GB = 1e9


def memory_figure(memory: pd.DataFrame) -> Figure:
    """Draw it.

    Args:
        memory: `headstart.learning.planning.tables.MEMORY_COLUMNS`.
    """
    from plotly.subplots import make_subplots

    memory = memory.assign(bar=bar_labels(memory))
    models = list(memory["model"].unique())
    bars = [memory.loc[memory["model"] == model, "bar"].nunique() for model in models]
    height = _BAR * sum(bars) + _GAP * (len(models) - 1)
    figure = make_subplots(
        rows=len(models),
        cols=1,
        row_heights=bars,
        vertical_spacing=_GAP / height if len(models) > 1 else 0,
        subplot_titles=models,
    )
    for row, model in enumerate(models, start=1):
        rows = memory[memory["model"] == model]
        for part, color in COLORS.items():
            of_part = rows[rows["part"] == part]
            figure.add_bar(
                x=of_part["bytes"] / _GB,
                y=of_part["bar"],
                orientation="h",
                name=part,
                legendgroup=part,
                showlegend=row == 1,
                marker_color=color,
                hovertemplate="%{y}<br>" + part + ": %{x:.3g} GB<extra></extra>",
                row=row,
                col=1,
            )
        figure.update_yaxes(autorange="reversed", row=row, col=1)
    figure.update_xaxes(title_text="GB at the peak of a step", row=len(models), col=1)
    figure.update_layout(
        barmode="stack",
        height=height + _TOP + _BOTTOM,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1 + 30 / height, "yanchor": "bottom"},
        margin={"l": 10, "r": 10, "t": _TOP, "b": _BOTTOM},
    )
    return figure


def bar_labels(table: pd.DataFrame) -> pd.Series:
    """What a planned training is called: its method, precision and batch.

    Args:
        table: columns method, precision, batch and gradient_checkpointing.
    """
    recomputed = table["gradient_checkpointing"].map({True: ", recomputed", False: ""})
    batch = table["batch"].astype(str)
    return table["method"] + ", " + table["precision"] + ", batch " + batch + recomputed
