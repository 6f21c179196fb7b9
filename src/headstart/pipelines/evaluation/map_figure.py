"""Maps of what the representations see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.figure_style import (
    COLORED_CLASSES,
    class_style,
    empty,
    escaped,
    finish,
)
from headstart.pipelines.evaluation.table_rows import of_target

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


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
        return empty("No map")
    columns = min(2, len(names))
    height = -(-len(names) // columns)
    figure = make_subplots(
        rows=height,
        cols=columns,
        subplot_titles=[escaped(wording.words(name)) for name in names] if len(names) > 1 else None,
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
                hovertext=[escaped(c) for c in some["label"]],
                hoverinfo="text",
                name=escaped(group),
                legendgroup=group,
                showlegend=i == 0 and len(classes) <= COLORED_CLASSES,
                **where,
            )
    if len(names) > 1:
        figure.update_layout(height=100 + 300 * height)
    figure = finish(figure)
    # A map has no scale: distances matter, axes do not.
    figure.update_xaxes(showticklabels=False, showgrid=False, mirror=True)
    figure.update_yaxes(showticklabels=False, showgrid=False, mirror=True)
    return figure
