"""One page with the picture and the tables of a plan; everything inline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from headstart.pipelines.planning.figure import bar_labels

PAGE = "page.html.jinja"


def planning_page(memory_figure: Any, memory: pd.DataFrame, gpu_plan: pd.DataFrame) -> str:
    """Write it.

    Args:
        memory_figure: of `headstart.pipelines.planning.figure`.
        memory: memory by part.
        gpu_plan: one row a training and GPU.

    Returns:
        HTML.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"bytes": readable_bytes, "seconds": readable_seconds}
    return environment.get_template(PAGE).render(
        figure=memory_figure.to_html(include_plotlyjs=True, full_html=False),
        parts=list(memory["part"].unique()),
        memory=[
            {**what, **dict(zip(rows["part"], rows["bytes"], strict=True))}
            for what, rows in _trainings(memory)
        ],
        plans=[{**what, "gpus": rows.to_dict("records")} for what, rows in _trainings(gpu_plan)],
    )


def _trainings(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """What was planned, and its rows."""
    labels = bar_labels(table)
    for (model, training), rows in table.groupby([table["model"], labels], sort=False):
        yield {"model": model, "training": training}, rows


def readable_bytes(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.2f} TB" if count < 1000 else f"{count:,.0f} TB"


def readable_seconds(count: float) -> str:
    """Seconds in the unit that suits them."""
    if count < 1:
        return f"{1000 * count:.3g} ms"
    return f"{count:.3g} s" if count < 600 else f"{count / 60:,.0f} min"
