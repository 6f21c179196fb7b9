"""What the report says of tables of several tasks: whom learning together helps and hurts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.learning.multi_task.gains import task_gains
from headstart.pipelines.evaluation.figure_style import finish
from headstart.pipelines.evaluation.table_rows import at_most_shots, records
from headstart.pipelines.evaluation.wording import bare_method_name

MOST_TASKS = 12  # in the table of gains; of more only those with a clear gain or harm are shown


def multi_task_view(
    view: Mapping[str, Any],
    results: pd.DataFrame,
    cosines: pd.DataFrame,
    pair_gains: pd.DataFrame,
    plots: dict[str, Any],
    confidence: float = 0.95,
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: id, name, track and metric of the target, and whether its rows are `timed`.
        results: the results table.
        cosines: of the tasks' gradients over training (`headstart.learning.multi_task.conflict`);
            may be empty.
        pair_gains: what each task gains by learning with each other one; may be empty.
        plots: id -> variants of a figure; the heat maps are added.
        confidence: coverage of the intervals.

    Returns:
        `multi_task`, None where the target is no such table: `gains`, of the mean over the tasks,
        `separate` and `pooled` being what it is against; `tasks`, single ones against `separate`:
        all, or with many those with a clear gain or harm; `hurt`, those that are harmed, of
        `compared`; how many are `helped`; whether the draws of all rows are the `same_rows`; and
        which figures there are.
    """
    target = view["name"]
    if view["track"] != "tables":
        return {"multi_task": None}
    table = task_gains(results, target, view["metric"], confidence=confidence)
    whole, single = table[table["task"] == ""], table[table["task"] != ""]
    alone = single[single["against"] == "separate"]
    shown = alone
    if single["task"].nunique() > MOST_TASKS:
        shown = alone[alone["pays"] | alone["hurts"]]
    own_cosines = cosines[cosines["target"] == target] if len(cosines) else cosines
    own_pairs = pair_gains[pair_gains["target"] == target] if len(pair_gains) else pair_gains
    if len(own_cosines):
        plots[f"{view['id']}-cosines"] = {"": cosine_map(own_cosines)}
    if len(own_pairs):
        plots[f"{view['id']}-pairs"] = {"": pair_map(own_pairs)}
    shown_of = {
        "gains": _side_by_side(whole),
        "tasks": records(shown),
        "hurt": records(alone[alone["hurts"]]),
        "compared": len(alone),
        "helped": int(alone["pays"].sum()),
        "all_tasks": single["task"].nunique() <= MOST_TASKS,
        "same_rows": bool(view["timed"] and whole["shots"].isna().any()),
        "has_cosines": bool(len(own_cosines)),
        "has_pairs": bool(len(own_pairs)),
    }
    return {"multi_task": shown_of}


def _side_by_side(gains: pd.DataFrame) -> list[dict[str, Any]]:
    """One record a method and number of labels, with what it is against as two more records."""
    rows: dict[tuple[Any, Any], dict[str, Any]] = {}
    ordered = gains.sort_values(["shots", "mean"], na_position="last", kind="stable")
    for one in records(ordered):
        key = (one["method"], None if pd.isna(one["shots"]) else one["shots"])
        row = rows.setdefault(key, {**one, "separate": None, "pooled": None})
        row[one["against"]] = one
    return list(rows.values())


def cosine_map(cosines: pd.DataFrame) -> Any:
    """Heat map: cosine of two tasks' gradients over training, a row a method and pair.

    Args:
        cosines: shots, seed, method, task, other, step, value; those with the most labels are
            shown, mean over seeds.
    """
    import plotly.graph_objects as go

    last = at_most_shots(cosines)
    # Steps of evaluations differ where trainings have different lengths: shown as a share.
    share = last["step"] / last.groupby(["method", "seed"])["step"].transform("max")
    last = last.assign(
        share=share.round(2),
        pair=last["method"].map(bare_method_name) + ": " + last["task"] + " and " + last["other"],
    )
    grid = last.pivot_table(index="pair", columns="share", values="value", aggfunc="mean")
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy(),
            x=[f"{100 * s:.0f}%" for s in grid.columns],
            y=list(grid.index),
            colorscale="RdBu",
            zmid=0,
            zmin=-1,
            zmax=1,
            colorbar={"title": "cosine"},
            hovertemplate="%{y}, %{x} of the training: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="share of the training", type="category")
    figure.update_yaxes(autorange="reversed")
    return finish(figure)


def pair_map(pairs: pd.DataFrame) -> Any:
    """Heat map: what the task of the row gains by learning with the task of the column.

    Args:
        pairs: task, other, gain (positive: better), mean over seeds.
    """
    import plotly.graph_objects as go

    grid = pairs.pivot_table(index="task", columns="other", values="gain", aggfunc="mean")
    widest = float(grid.abs().max().max()) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy(),
            x=list(grid.columns),
            y=list(grid.index),
            colorscale="RdBu",
            zmid=0,
            zmin=-widest,
            zmax=widest,
            colorbar={"title": "gain"},
            hovertemplate="%{y} with %{x}: %{z:+.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="learned together with", type="category")
    figure.update_yaxes(title="task", type="category", autorange="reversed")
    return finish(figure)
