"""What the report shows of a target's worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from headstart.pipelines.evaluation.pictures import picture
from headstart.pipelines.evaluation.table_rows import at_most_shots, of_target, records


def worst_mistakes(
    predictions: pd.DataFrame, representation: str, method: str, number: int
) -> pd.DataFrame:
    """The test examples that a method got wrong with the most confidence.

    Args:
        predictions: of one target, at one number of shots.
        representation: what the method starts from.
        method: the method.
        number: how many at most.

    Returns:
        One row an example: row, label, predicted (the wrong class that most seeds said),
        confidence (mean of those seeds), wrong (seeds that were wrong), seeds. Sorted by the
        confidence in wrong classes, the mean over all seeds.
    """
    own = (predictions["representation"] == representation) & (predictions["method"] == method)
    seeds = predictions.loc[own, "seed"].nunique()
    wrong = predictions[own & (predictions["label"] != predictions["predicted"])]
    said = (
        wrong.groupby(["row", "label", "predicted"], as_index=False)
        .agg(confidence=("confidence", "mean"), said=("confidence", "size"))
        .sort_values(["said", "confidence"], ascending=False, kind="stable")
        .drop_duplicates("row")
    )
    whole = wrong.groupby("row")["confidence"]
    said = said.assign(
        wrong=said["row"].map(whole.size()),
        seeds=seeds,
        weight=said["row"].map(whole.sum()) / max(seeds, 1),
    )
    worst = said.sort_values(["weight", "row"], ascending=[False, True], kind="stable")
    return worst.drop(columns=["said", "weight"]).head(number).reset_index(drop=True)


def mistakes(
    view: Mapping[str, Any],
    predictions: pd.DataFrame,
    splits: Mapping[str, pd.DataFrame],
    images: Mapping[str, np.ndarray],
    texts: Mapping[str, Sequence[str]],
    number: int,
) -> dict[str, Any]:
    """What the section shows of one target.

    Args:
        view: name and recommendation (`answer`) of the target.
        predictions: of all targets.
        splits: target -> its splits.
        images: target -> its pictures, where it has any.
        texts: target -> its texts, where it has any.
        number: how many mistakes at most.

    Returns:
        `mistakes`: None where no predictions were kept.
    """
    target, answer = view["name"], view["answer"]
    rows = of_target(predictions, target)
    if not answer or rows.empty:
        return {"mistakes": None}
    rows = at_most_shots(rows)
    worst = worst_mistakes(rows, answer["representation"], answer["method"], number)
    split = splits.get(target)
    names = {} if split is None else dict(zip(split["class"], split["label"], strict=True))
    paths = {} if split is None else dict(zip(split["row"], split["path"], strict=True))
    shown = [
        mistake
        | {
            "label": str(names.get(mistake["label"], mistake["label"])),
            "predicted": str(names.get(mistake["predicted"], mistake["predicted"])),
            "path": str(paths.get(mistake["row"], mistake["row"])),
            "picture": picture(np.asarray(images[target][mistake["row"]]))
            if target in images
            else None,
            "text": shorten(texts[target][mistake["row"]], 240, placeholder=" …")
            if target in texts
            else None,
        }
        for mistake in records(worst)
    ]
    return {"mistakes": shown}
