"""The model card of a recommended model (Mitchell et al. 2019), in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.answer import headline
from headstart.pipelines.evaluation.report import environment_of_templates
from headstart.pipelines.evaluation.table_rows import at_most_shots

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
    license_note: str | None = None,
    confidence: float = 0.95,
) -> str:
    """The model card as Markdown.

    Args:
        recommendation: of one target, what `headstart.learning.leaderboard.recommend` returns.
        leaderboard: the leaderboard.
        summary: counts of the target's ingestion, possibly nested.
        environment: versions, machine and configuration.
        command: how to predict with the model, as typed in a shell.
        model: `config` of the fitted model that is handed over: its `classes`, `n_train` and its
            own scores `test`.
        per_class: of `per_class_scores`, or None.
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
        headline=headline(recommendation),
        rows=at_most_shots(rows).to_dict("records"),
        summary=wording.counts(summary),
        environment={k: v for k, v in environment.items() if not isinstance(v, Mapping)},
        versions=environment.get("versions", {}),
        command=command,
        classes=[] if model is None else list(model["classes"]),
        per_class=None if per_class is None else per_class.to_dict("records"),
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


def markdown(text: Any) -> str:
    """Text that Markdown shows as it is, on one line: a class name is never markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", " ".join(str(text).split()))
