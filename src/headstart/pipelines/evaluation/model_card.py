"""The model card of a recommended model (Mitchell et al. 2019), in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.answer import headline
from headstart.pipelines.evaluation.table_rows import at_most_shots
from headstart.pipelines.evaluation.templates import environment_of_templates

MODEL_CARD = "model_card.md.jinja"


def render_model_card(
    recommendation: Mapping[str, Any],
    leaderboard: pd.DataFrame,
    summary: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    command: str,
    model: Mapping[str, Any] | None = None,
    per_class: pd.DataFrame | None = None,
    per_task: pd.DataFrame | None = None,
    license_note: str | None = None,
    confidence: float = 0.95,
) -> str:
    """The model card as Markdown.

    Args:
        recommendation: of one target, what `headstart.learning.recommendation.recommend` returns.
        leaderboard: the leaderboard.
        summary: counts of the target's ingestion, possibly nested.
        environment: versions, machine and configuration.
        command: how to predict with the model, as typed in a shell.
        model: `config` of the fitted model that is handed over: its `classes`, `n_train` and its
            own scores `test`; on tables also `target_column`, `task_column`, `ahead`, `difference`
            and whether its rows are `timed`.
        per_class: of `per_class_scores`, or None.
        per_task: of `per_task_scores`, or None.
        license_note: terms of the data and of the pretrained network, as Markdown, or None.
        confidence: coverage of the intervals.
    """
    rows = leaderboard[
        (leaderboard["target"] == recommendation["target"])
        & (leaderboard["representation"] == recommendation["representation"])
        & (leaderboard["method"] == recommendation["method"])
    ]
    templates = environment_of_templates(autoescape=False)
    templates.filters["markdown"] = markdown
    return templates.get_template(MODEL_CARD).render(
        answer=recommendation,
        model=model or {},
        predicted="" if model is None else _what_is_predicted(model),
        headline=headline(recommendation),
        rows=at_most_shots(rows).to_dict("records"),
        summary=wording.counts(summary),
        environment={k: v for k, v in environment.items() if not isinstance(v, Mapping)},
        versions=environment.get("versions", {}),
        command=command,
        classes=[] if model is None else list(model["classes"]),
        per_class=None if per_class is None else per_class.to_dict("records"),
        per_task=None if per_task is None else per_task.to_dict("records"),
        license_note=license_note,
        confidence=confidence,
    )


def per_class_scores(
    predictions: pd.DataFrame, recommendation: Mapping[str, Any], classes: Sequence[str]
) -> pd.DataFrame:
    """Recall and precision of the recommended method for each class, over all seeds together.

    Args:
        predictions: test predictions of all fits.
        recommendation: of one target.
        classes: names of the classes, in the order of their numbers.

    Returns:
        One row a class: label, examples (test rows), recall (share of its examples that were
        found), precision (share of the predictions of this class that are right; NaN where it was
        never predicted). The lowest recall first.
    """
    rows = at_most_shots(predictions[predictions["target"] == recommendation["target"]])
    own = rows[
        (rows["representation"] == recommendation["representation"])
        & (rows["method"] == recommendation["method"])
    ]
    right = own["label"] == own["predicted"]
    numbers = range(len(classes))
    return pd.DataFrame(
        {
            "label": list(classes),
            "examples": own.groupby("label")["row"].nunique().reindex(numbers, fill_value=0),
            "recall": right.groupby(own["label"]).mean().reindex(numbers),
            "precision": right.groupby(own["predicted"]).mean().reindex(numbers),
        }
    ).sort_values("recall", kind="stable", ignore_index=True)


def per_task_scores(
    leaderboard: pd.DataFrame,
    recommendation: Mapping[str, Any],
    own: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """Scores of the recommended method on each task of a table, in the metric that decided.

    Args:
        leaderboard: the leaderboard, with a target `<target>.<task>` for each task.
        recommendation: of one target.
        own: task -> metric -> score of the model that is handed over.

    Returns:
        The leaderboard's rows with task and own (that model's score; NaN where it has none).
    """
    rows = at_most_shots(
        leaderboard[
            leaderboard["target"].isin([f"{recommendation['target']}.{task}" for task in own])
            & (leaderboard["representation"] == recommendation["representation"])
            & (leaderboard["method"] == recommendation["method"])
            & (leaderboard["metric"] == recommendation["metric"])
        ]
    )
    task = rows["target"].str.removeprefix(f"{recommendation['target']}.")
    scores = {name: one.get(recommendation["metric"]) for name, one in own.items()}
    return rows.assign(task=task, own=task.map(scores).astype("float64"))


def _what_is_predicted(model: Mapping[str, Any]) -> str:
    """What a model of tables predicts, in words; empty for other models."""
    if model.get("track") != "tables":
        return ""
    column = markdown(model["target_column"])
    if model["ahead"] is None:
        return column
    hours = pd.Timedelta(model["ahead"]).total_seconds() / 3600
    return (
        f"what {column} will have changed by {hours:g} hours later"
        if model["difference"]
        else f"{column} {hours:g} hours later"
    )


def markdown(text: Any) -> str:
    """Text that Markdown shows as it is, on one line: a class name is never markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", " ".join(str(text).split()))
