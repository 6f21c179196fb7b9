"""What the report says of in-context learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.learning.text.demonstration_spread import summarize
from headstart.pipelines.evaluation.figure_style import (
    axis_title,
    color,
    escaped,
    finish,
    marker,
    of_group,
)
from headstart.pipelines.evaluation.table_rows import families, records

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

METHOD = "in_context"


def spread_of_demonstrations(
    view: Mapping[str, Any], spread: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: id and name of the target.
        spread: of `headstart.learning.text.demonstration_spread.demonstration_spread`.
        plots: id -> variants of a figure; one is added.

    Returns:
        `spread`: None where nothing was shown in context; else the models (`families`) and the
        `rows` of `summarize`.
    """
    own = spread[spread["target"] == view["name"]] if len(spread) else spread
    if own.empty:
        return {"spread": None}
    plots[f"{view['id']}-spread"] = {"": spread_figure(own)}
    models = families(own.assign(method=METHOD))
    return {"spread": {"families": models, "rows": records(summarize(own))}}


def spread_figure(spread: pd.DataFrame) -> Figure:
    """Accuracy of each draw (large) and of each order of its demonstrations (small, to its right).

    Args:
        spread: of one target.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    shots = sorted(spread["shots"].unique())
    place = {k: i for i, k in enumerate(shots)}
    models = list(dict.fromkeys(spread["representation"]))
    for number, model in enumerate(models):
        rows = spread[spread["representation"] == model]
        beside = 0.1 * (number - (len(models) - 1) / 2)  # so that no model hides another
        for kind, part in (("test", rows[rows["order"].isna()]), ("", rows[rows["order"].notna()])):
            which = part["order"].map(lambda order: "all" if pd.isna(order) else f"{order + 1}")
            figure.add_scatter(
                x=part["shots"].map(place).astype(float) + beside + (0.0 if kind else 0.25),
                y=part["accuracy"],
                mode="markers",
                marker={
                    "symbol": marker(METHOD) if kind else "circle",
                    "size": 12 if kind else 6,
                    "opacity": 1.0 if kind else 0.6,
                    "color": color(str(model)),
                },
                hovertext=[
                    f"{escaped(model)}, draw {seed + 1}, "
                    + (f"test rows: {y:.3f}" if kind else f"order {o}, validation rows: {y:.3f}")
                    for seed, o, y in zip(part["seed"], which, part["accuracy"], strict=True)
                ],
                hoverinfo="text",
                **of_group((str(model), METHOD)) | {"showlegend": bool(kind)},
            )
    figure.update_xaxes(
        title="labels per class in the prompt",
        tickvals=list(place.values()),
        ticktext=[str(k) for k in shots],
        range=[-0.5, len(shots) - 0.5],
    )
    figure.update_yaxes(title=axis_title("accuracy"))
    return finish(figure)


def dropped_demonstrations(
    board: pd.DataFrame, splits: pd.DataFrame | None
) -> list[tuple[int, float, int]]:
    """Where a prompt held fewer labeled examples than there were.

    Args:
        board: the leaderboard of one target.
        splits: its splits, for the number of classes.

    Returns:
        Labels per class, examples shown (a mean over seeds), examples there were.
    """
    if splits is None:
        return []
    asked = board[(board["method"] == "in_context") & board["shots"].notna()]
    asked = asked.drop_duplicates(["representation", "shots"])
    there = (asked["shots"] * splits["class"].nunique()).astype(int)
    short = asked["n_train"] < there
    return list(zip(asked["shots"][short], asked["n_train"][short], there[short], strict=True))
