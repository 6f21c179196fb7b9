"""What the report says of LoRA: what it saves, and what its rank does to the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.learning.statistics import mean_interval
from headstart.pipelines.evaluation.figure_style import (
    axis_title,
    color,
    error_bars,
    finish,
    marker,
    of_group,
)
from headstart.pipelines.evaluation.table_rows import records

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LORA, FULL = "lora", "fine_tune"


def lora_costs(costs: pd.DataFrame) -> list[dict[str, Any]]:
    """What the table of costs shows, one item a model.

    Args:
        costs: `headstart.learning.text.lora_costs.COST_COLUMNS`; may be empty.

    Returns:
        For each model its `name`, the `rows`, the size of the measured step (`batch_size`,
        `tokens`, `device`), and `rest`: least and greatest of what a step took beyond gradients
        and moments, None where nothing was measured.
    """
    models = []
    for name in costs.get("representation", pd.Series(dtype="str")).drop_duplicates():
        rows = costs[costs["representation"] == name]
        beside = rows["step_peak_bytes"] - rows["gradient_bytes"] - rows["optimizer_bytes"]
        measured = beside.dropna().clip(lower=0)
        models.append(
            {
                "name": name,
                "rows": records(rows.astype(object).where(rows.notna(), None)),
                **{key: rows[key].iloc[0] for key in ("batch_size", "tokens", "device")},
                "rest": (measured.min(), measured.max()) if len(measured) else None,
            }
        )
    return models


def lora_ranks(
    ranks: pd.DataFrame, board: pd.DataFrame, confidence: float, plots: dict[str, Any]
) -> list[dict[str, Any]]:
    """What the part on ranks shows, one item a target and model.

    Args:
        ranks: `headstart.learning.text.lora_ranks.RANK_COLUMNS`; may be empty.
        board: the leaderboard, for fine-tuning of all weights at the same number of labels.
        confidence: coverage of the intervals.
        plots: id -> variants of a figure; one is added for each item.

    Returns:
        For each its `target`, model (`name`), `shots`, `id` of the figure, and `tables`: metric ->
        rows of `rank_scores`.
    """
    items: list[dict[str, Any]] = []
    if ranks.empty:
        return items
    groups = ranks.groupby(["target", "representation", "shots"], sort=False)
    for number, ((target, name, shots), own) in enumerate(groups):
        same = (board["target"] == target) & (board["representation"] == name)
        same &= (board["method"] == FULL) & board["shots"].eq(int(str(shots))).fillna(False)
        tables = {
            str(metric): rank_scores(rows, board[same & (board["metric"] == metric)], confidence)
            for metric, rows in own.groupby("metric", sort=False)
        }
        plot = f"ranks-{number}"
        plots[plot] = {m: rank_figure(table, str(name), m) for m, table in tables.items()}
        items.append(
            {"target": target, "name": name, "shots": shots, "id": plot}
            | {"tables": {metric: records(table) for metric, table in tables.items()}}
        )
    return items


def rank_scores(ranks: pd.DataFrame, full: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean score, interval and cost of each rank, and of fine-tuning all weights.

    Args:
        ranks: rows of one target, model, number of shots and metric.
        full: the row of the leaderboard of fine-tuning; none where it was not tried.
        confidence: coverage of the intervals.

    Returns:
        Columns rank (None: all weights), mean, low, high, seeds, trainable_parameters,
        train_seconds, peak_memory_bytes.
    """
    rows: list[dict[str, Any]] = []
    for rank, own in ranks.groupby("rank"):
        found = mean_interval(own["value"].tolist(), confidence)
        costs = own[["trainable_parameters", "train_seconds", "peak_memory_bytes"]].astype(float)
        interval = {"mean": found.mean, "low": found.low, "high": found.high, "seeds": found.n}
        rows.append({"rank": int(str(rank)), **interval, **costs.mean()})
    columns = list(rows[0])
    rows += [{**row, "rank": None} for row in records(full[[c for c in columns if c != "rank"]])]
    # As they are: a column with a gap would turn whole numbers into decimals.
    ranks_as_they_are = pd.Series([row["rank"] for row in rows], dtype="object")
    return pd.DataFrame(rows, columns=columns).assign(rank=ranks_as_they_are)


def rank_figure(table: pd.DataFrame, representation: str, metric: str) -> Figure:
    """Score against rank, with intervals; all weights stand at the end.

    Args:
        table: of `rank_scores`.
        representation: the model.
        metric: which metric.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    whole = table["rank"].isna()
    for method, rows in ((LORA, table[~whole]), (FULL, table[whole])):
        key = (representation, method)
        figure.add_scatter(
            x=["all weights" if pd.isna(rank) else str(rank) for rank in rows["rank"]],
            y=rows["mean"],
            error_y=error_bars(rows),
            mode="markers",
            marker={"symbol": marker(method), "size": 11, "color": color(representation)},
            **of_group(key),
        )
    figure.update_xaxes(title="rank of the update", type="category")
    figure.update_yaxes(title=axis_title(metric))
    return finish(figure)
