"""What the report says of few-shot tasks: how well and how quickly methods learn new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.pipelines.evaluation import few_shot_figures
from headstart.pipelines.evaluation.table_rows import (
    families,
    methods_of,
    of_method,
    records,
)
from headstart.pipelines.evaluation.wording import draws, labels, listed

TRACK = "few_shot"
SINUSOIDS = "sinusoids"  # the target of which there are pictures
TRANSDUCTIVE = "accuracy_transductive"  # the same episodes, read by the queries' own statistics
QUERY = "query"  # that reading, in the curves
READINGS = {
    "support": "the statistics of its support set",
    "running": "running statistics of meta-training, kept for each inner step (of a method that "
    "is not meta-trained, the statistics of its support set)",
}


def few_shot_view(
    view: Mapping[str, Any],
    board: pd.DataFrame,
    curves: pd.DataFrame,
    examples: pd.DataFrame,
    trainings: pd.DataFrame,
    plots: dict[str, Any],
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: id, name, track and metric of the target.
        board: its leaderboard.
        curves: score against steps (target, representation, method, shots, seed, reading, metric,
            step, mean, low, high, episodes, diverged), of all targets; may be empty.
        examples: predictions of some sinusoids (method, shots, seed, episode, step, x, y; the
            methods "truth" and "support" are the curve and the points); may be empty.
        trainings: how each method was meta-trained (target, representation, method, shots, seed,
            iterations, batch_size, train_seconds, peak_memory_bytes, validation); may be empty.
        plots: id -> variants of a figure; the figures are added.

    Returns:
        `few_shot`, None on another track: `tables`, one for each number of shots, fewest first;
        `draws`, what the intervals are over; `reading`, what batch norm normalizes queries by
        where that is not transductive, None without batch norm; `diverged`, the methods of which
        episodes did; `steps` and `steps_families`, the choices and methods of the figure of
        curves; `pictures`, methods of which there are sinusoids, `examples`, which, and `styles`
        of the lines in them.
    """
    if view["track"] != TRACK:
        return {"few_shot": None}
    own = curves[curves["target"] == view["name"]] if len(curves) else curves
    trained = trainings[trainings["target"] == view["name"]] if len(trainings) else trainings
    here = board[board["metric"] == view["metric"]]
    tables = _tables(here, board[board["metric"] == TRANSDUCTIVE], own, trained)
    shown = _curves(view, own, plots)
    return {
        "few_shot": {
            "tables": tables,
            "draws": draws(int(here["seeds"].max()), TRACK),
            "transductive": TRANSDUCTIVE in set(board["metric"]),
            "reading": _reading(own),
            "diverged": [
                row | {"shots": table["shots"]}
                for table in tables
                for row in table["rows"]
                if row["diverged"]
            ],
            **shown,
            **_pictures(view, examples, plots),
        }
    }


def _tables(
    board: pd.DataFrame, transductive: pd.DataFrame, curves: pd.DataFrame, trainings: pd.DataFrame
) -> list[dict[str, Any]]:
    """Score, gain and cost of every method, a table for each number of shots, fewest first."""
    tables = []
    for shots in sorted(board["shots"].unique()):
        rows = []
        for row in records(board[board["shots"] == shots]):
            key = (row["representation"], row["method"])
            beside, learned, seen = (
                of_method(table[table["shots"] == shots], key) if len(table) else table
                for table in (transductive, trainings, curves)
            )
            training = learned.mean(numeric_only=True).to_dict() if len(learned) else {}
            rows.append(
                row
                | {"transductive": records(beside)[0] if len(beside) else None}
                | {"training": training if training.get("iterations") else None}
                | _divergence(seen)
            )
        tables.append({"shots": shots, "rows": rows})
    return tables


def _divergence(curves: pd.DataFrame) -> dict[str, int]:
    """Of one method and number of shots: episodes that diverged by the last step, of how many.

    The reading that has the most is what counts: each has the same episodes.
    """
    if curves.empty:
        return {"diverged": 0, "episodes": 0}
    last = curves[curves["step"] == curves["step"].max()]
    by_reading = last.groupby("reading", dropna=False)[["diverged", "episodes"]].sum()
    worst = by_reading.sort_values("diverged", kind="stable").iloc[-1]
    return {"diverged": int(worst["diverged"]), "episodes": int(worst["episodes"])}


def _readings(curves: pd.DataFrame) -> list[str]:
    """The readings of methods that have batch norm: more than one; not transductive ones first."""
    several = [
        reading
        for key in methods_of(curves)
        for found in [list(dict.fromkeys(of_method(curves, key)["reading"]))]
        if len(found) > 1
        for reading in found
    ]
    return sorted(dict.fromkeys(several), key=lambda reading: reading == QUERY)


def _reading(curves: pd.DataFrame) -> str | None:
    """What queries are normalized by where that is not transductive, in words."""
    known = [_in_words(r) for r in _readings(curves) if r != QUERY] if len(curves) else []
    return listed(known) if known else None


def _in_words(reading: str) -> str:
    return READINGS.get(reading, reading)


def _curves(view: Mapping[str, Any], curves: pd.DataFrame, plots: dict[str, Any]) -> dict[str, Any]:
    """The figure of curves: a variant for each number of shots and each reading."""
    if curves.empty:
        return {"steps": {}, "steps_families": {}}
    readings = _readings(curves)
    variants, choices = {}, {}
    for shots in sorted(curves["shots"].unique(), reverse=True):
        rows = curves[curves["shots"] == shots]
        for reading in readings or [""]:
            shown = few_shot_figures.of_reading(rows, reading) if reading else rows
            name = f"{shots}-{reading}"
            variants[name] = few_shot_figures.steps_figure(shown, str(curves["metric"].iloc[0]))
            beside = ", transductive" if reading == QUERY else ", not transductive"
            choices[name] = labels(shots, TRACK) + (beside if reading else "")
    plots[f"{view['id']}-steps"] = variants
    return {"steps": choices, "steps_families": families(curves)}


def _pictures(
    view: Mapping[str, Any], examples: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    """Sinusoids before and after some steps: a figure a method, a variant for each example."""
    if view["name"] != SINUSOIDS or examples.empty:
        return {"pictures": [], "examples": {}, "styles": []}
    examples = examples[examples["seed"] == examples["seed"].min()]
    methods = few_shot_figures.pictured(examples)
    pairs = examples[["shots", "episode"]].drop_duplicates().sort_values(["shots", "episode"])
    choices = {
        f"{shots}-{episode}": f"{labels(shots, TRACK)}, example {episode + 1}"
        for shots, episode in pairs.itertuples(index=False)
    }
    for number, method in enumerate(methods):
        plots[f"{view['id']}-sinusoids-{number}"] = {
            f"{shots}-{episode}": few_shot_figures.sinusoid_figure(one, method)
            for (shots, episode), one in examples.groupby(["shots", "episode"])
        }
    return {
        "pictures": methods,
        "examples": choices,
        "styles": few_shot_figures.line_styles(examples),
    }
