"""How trainings went, on a target and in pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.figure_style import (
    color,
    dash,
    empty,
    escaped,
    finish,
    line_mode,
    marker,
    of_group,
)
from headstart.pipelines.evaluation.table_rows import at_most_shots, methods_of, of_target

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# With more methods than this, training curves are means over seeds.
FEW_TRAINED = 4


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
        return empty("No training history")
    names = list(dict.fromkeys(rows["name"]))
    averaged = len(methods_of(rows)) > FEW_TRAINED
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
                mode=line_mode(line),
                marker={"symbol": marker(key[1]), "size": 6},
                line={"color": color(*key), "dash": dash(key[1]), "width": 2},
                opacity=0.8,
                hovertemplate=f"{escaped(wording.method_name(*key))}, {which}"
                "<br>step %{x}: %{y:.3f}<extra></extra>",
                row=i + 1,
                col=1,
                **of_group(key) | {"showlegend": key not in legend},
            )
            legend.add(key)
    figure.update_xaxes(title="step", row=len(names), col=1)
    figure.update_layout(height=100 + 210 * len(names))
    return finish(figure)


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
        return empty("No pretraining history")
    columns = min(2, len(names))
    height = -(-len(names) // columns)
    figure = make_subplots(
        rows=height,
        cols=columns,
        subplot_titles=[escaped(wording.words(name)) for name in names] if len(names) > 1 else None,
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
                mode=line_mode(line),
                marker={"symbol": "circle", "size": 7 if held_out else 4},
                line={
                    "color": color(name),
                    "dash": "solid" if held_out else "dot",
                    "width": 2.5 if held_out else 1.5,
                },
                hovertemplate=f"{escaped(wording.words(name))}, {words} {quantity}"
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
    return finish(figure)


def curves_of(histories: pd.DataFrame, target: str) -> pd.DataFrame:
    """What was minimized and what it was judged by: `train_loss` and all `validation_…`."""
    rows = of_target(histories, target)
    names = rows["name"].astype(str)
    return rows[(names == "train_loss") | names.str.startswith("validation_")]
