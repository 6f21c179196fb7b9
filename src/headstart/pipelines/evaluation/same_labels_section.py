"""The same labels used in four ways: in context, by LoRA, by fine-tuning, by a linear probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation.figure_style import (
    axis_title,
    color,
    dash,
    error_bars,
    finish,
    hover,
    log_range,
    marker,
    of_group,
    shots_tick,
)
from headstart.pipelines.evaluation.score_figures import shot_positions
from headstart.pipelines.evaluation.table_rows import (
    families,
    methods_of,
    of_method,
    records,
    shots_key,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ADAPTED = ("fine_tune", "lora", "bitfit")  # methods that change a pretrained model
FROZEN = "linear_probe"
PROMPTED = "in_context"


def same_labels(
    view: Mapping[str, Any], board: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: id, track, metrics of the target, and the one that is shown first.
        board: the leaderboard of the target.
        plots: id -> variants of a figure; one is added.

    Returns:
        `same_labels`: None where fewer than two of the ways were tried on texts; else the methods
        (`families`) and the `tables` of `cost_tables`.
    """
    rows = ways(board)
    if view["track"] != "text" or len(methods_of(rows)) < 2:
        return {"same_labels": None}
    plots[f"{view['id']}-same-labels"] = {
        metric: same_labels_figure(rows, metric) for metric in view["metrics"]
    }
    tables = cost_tables(rows, view["metric"])
    return {"same_labels": {"families": families(rows), "tables": tables}}


def ways(board: pd.DataFrame) -> pd.DataFrame:
    """The rows of the leaderboard that are compared.

    These are all that adapt a model, the linear probe on the same model frozen, and in-context
    learning.

    Args:
        board: the leaderboard of one target.
    """
    adapted = board["method"].isin(ADAPTED)
    starts = set(board.loc[adapted, "representation"])
    probed = (board["method"] == FROZEN) & board["representation"].isin(starts)
    return board[adapted | probed | (board["method"] == PROMPTED)]


def cost_tables(rows: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Score and cost of each way at each number of labels.

    Args:
        rows: of `ways`.
        metric: whose score is shown.

    Returns:
        Tables with `shots` and `rows`, the best row first. First comes the number of labels that
        the most ways were tried at, of several the largest; then the others, most labels first.
    """
    own = rows[rows["metric"] == metric]
    own = own.sort_values("mean", ascending=not HIGHER_IS_BETTER[metric], kind="stable")
    tables: list[dict[str, Any]] = []
    for shots in own["shots"].drop_duplicates().sort_values(ascending=False, na_position="first"):
        same = own["shots"].isna() if pd.isna(shots) else own["shots"].eq(shots).fillna(False)
        tables.append({"shots": shots_key(shots), "rows": records(own[same])})
    fullest = max(tables, key=lambda table: len(table["rows"]))
    return [fullest, *(table for table in tables if table is not fullest)]


def same_labels_figure(rows: pd.DataFrame, metric: str) -> Figure:
    """Score against labels per class, one line a way, with the intervals of all.

    Args:
        rows: of `ways`.
        metric: which metric.
    """
    import plotly.graph_objects as go

    rows = rows[rows["metric"] == metric]
    positions = shot_positions(rows)
    rows = rows.assign(x=[positions[shots_key(shots)] for shots in rows["shots"]])
    figure = go.Figure()
    for key in methods_of(rows):
        line = of_method(rows, key).sort_values("x")
        figure.add_scatter(
            x=line["x"],
            y=line["mean"],
            error_y=error_bars(line),
            mode="lines+markers",
            line={"color": color(*key), "dash": dash(key[1]), "width": 2.5},
            marker={"symbol": marker(key[1]), "size": 10},
            hovertext=[hover(row, metric) for _, row in line.iterrows()],
            hoverinfo="text",
            **of_group(key),
        )
    figure.update_xaxes(
        title="labels per class",
        type="log",
        tickvals=list(positions.values()),
        ticktext=[shots_tick(shots, x) for shots, x in positions.items()],
        range=log_range(list(positions.values())),
    )
    figure.update_yaxes(title=axis_title(metric))
    return finish(figure)
