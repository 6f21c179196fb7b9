"""What the report says of a target's trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import ALONE
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import training_figures
from headstart.pipelines.evaluation.table_rows import families, records, shots_key


def still_improving(histories: pd.DataFrame) -> pd.DataFrame:
    """Which trainings had their best validation point at their very end.

    They might have gone on to improve with more steps. A training is judged by the first of its
    quantities whose name begins with "validation_".

    Args:
        histories: training histories of one target.

    Returns:
        One row a representation, method and shots: `trainings`, `improving` (how many of them).
    """
    columns = ["representation", "method", "shots", "trainings", "improving"]
    checks = histories[histories["name"].astype(str).str.startswith("validation_")]
    if checks.empty:
        return pd.DataFrame(columns=columns)
    judge = str(checks["name"].iloc[0])
    sign = 1.0 if HIGHER_IS_BETTER.get(judge.removeprefix("validation_"), False) else -1.0
    rows = []
    judged = checks[checks["name"] == judge]
    for key, group in judged.groupby(["representation", "method", "shots"], dropna=False):
        trainings = [one.sort_values("step")["value"] for _, one in group.groupby("seed")]
        # The first best point counts: a plateau is not an improvement.
        improving = [
            len(v) > 1 and int(np.argmax(sign * v.to_numpy())) == len(v) - 1 for v in trainings
        ]
        rows.append([*key, len(trainings), sum(improving)])
    return pd.DataFrame(rows, columns=columns)


def training(
    view: Mapping[str, Any], histories: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: id, name and recommendation (`answer`) of the target.
        histories: of all targets.
        plots: id -> variants of a figure; the training curves are added.
    """
    curves = training_figures.curves_of(histories, view["name"])
    shots = list(curves["shots"].drop_duplicates().sort_values(na_position="last"))
    if shots:
        plots[f"{view['id']}-training"] = {
            str(len(shots) - 1 - i): training_figures.training_curves(
                curves, view["name"], None if pd.isna(s) else int(s)
            )
            for i, s in reversed(list(enumerate(shots)))
        }
    table = still_improving(curves)
    improving = records(table[table["improving"] > 0])
    answer = view["answer"]
    # What the gain is measured against; nothing to say where that is no other method.
    unfinished = [
        row
        for row in improving
        if row["method"] in ALONE
        and row["representation"] == answer.get("baseline")
        and shots_key(row["shots"]) == answer.get("shots")
    ]
    return {
        "trained_shots": list(reversed(shots)),
        "trained": families(curves),
        "trainings": int(table["trainings"].sum()),
        "improving": improving,
        "baseline_unfinished": unfinished[0] if unfinished else None,
    }
