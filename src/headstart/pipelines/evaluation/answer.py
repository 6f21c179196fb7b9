"""The answer in words: what to do on a target, whether transfer pays, and where it hurt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import ALONE, BASELINE, NOT_TRANSFERRED, WITHOUT_NAME
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import wording
from headstart.pipelines.evaluation.table_rows import shots_key


def headline(answer: Mapping[str, Any]) -> str:
    """The recommendation in a few words."""
    if answer["method"] == BASELINE:
        return f"Train the {wording.network_name(answer['representation'])} from scratch"
    method = wording.sentence(wording.bare_method_name(answer["method"]))
    if answer["representation"] in WITHOUT_NAME:
        return method
    return f"{method} on {wording.words(answer['representation'])}"


def verdict(answer: Mapping[str, Any], by_shots: pd.DataFrame) -> tuple[str, str]:
    """Whether transfer pays.

    Args:
        answer: the recommendation of one target.
        by_shots: of `against_baseline`, the recommended method at each number of labels.

    Returns:
        A word for the style ("yes", "no" or "open") and a short sentence.
    """
    if answer["method"] in ALONE:
        return "no", "Transfer does not pay here"
    track = answer["track"]
    if answer["gain"] is None:
        return "open", f"Not compared with {wording.baseline_name(track)}"
    if answer["representation"] in NOT_TRANSFERRED:
        return "no", "Nothing learned from other data is needed"
    sign = 1.0 if HIGHER_IS_BETTER[answer["metric"]] else -1.0
    gains = sign * by_shots[["gain_low", "gain_high"]].astype(float)
    if (gains.iloc[-1] < 0).all():
        return "no", f"Transfer hurts with {wording.labels(answer['shots'], track)}"
    pays = (gains > 0).all(axis=1)
    if pays.all():
        return "yes", "Transfer pays"
    if not pays.any():
        few = "One seed: the gain has no interval"
        return "open", few if gains.isna().all(axis=None) else "The gain may be chance"
    shots = by_shots.loc[pays, "shots"]
    numbers = [str(s) for s in shots.dropna()]
    parts = [wording.labels(1, track)] if numbers == ["1"] else []
    if numbers and not parts:
        parts = [f"{wording.listed(numbers)} {wording.labels_per(track)}"]
    parts += [wording.labels(None, track)] * bool(shots.isna().any())
    return "yes", f"Transfer pays with {wording.listed(parts)}; elsewhere the gain may be chance"


def against_baseline(
    board: pd.DataFrame, representation: str, method: str, metric: str
) -> pd.DataFrame:
    """A method beside what it is compared with, at each number of labels.

    Returns:
        Rows of the leaderboard (shots, mean, low, high, gain, gain_low, gain_high, …) of the
        method, fewest labels first; `scratch` is the score from scratch of the network in
        `baseline`, NaN where there is none.
    """
    rows = board[board["metric"] == metric]
    own = rows[(rows["representation"] == representation) & (rows["method"] == method)]
    scratch = rows[rows["method"].isin(ALONE)]
    at = {
        (name, shots_key(shots)): mean
        for name, shots, mean in scratch[["representation", "shots", "mean"]].itertuples(
            index=False
        )
    }
    keys = zip(own["baseline"], own["shots"], strict=True)
    own = own.assign(scratch=[at.get((name, shots_key(shots)), np.nan) for name, shots in keys])
    return own.sort_values("shots", na_position="last", ignore_index=True)


def compared_with(board: pd.DataFrame) -> str:
    """Which network's training from scratch the gains are measured against, as a sentence.

    Args:
        board: the leaderboard of one target.

    Returns:
        Empty where it is the same network for all.
    """
    against: dict[str, list[str]] = {}
    for name, rows in board.dropna(subset=["baseline"]).groupby("baseline"):
        against[str(name)] = list(dict.fromkeys(rows["representation"]))
    if len(against) < 2:
        return ""
    *few, most = sorted(against, key=lambda name: len(against[name]))
    parts = [
        f"the {wording.network_name(name)} for "
        f"{wording.listed([wording.words(own) for own in against[name]])}"
        for name in few
    ]
    parts.append(f"the {wording.network_name(most)} for all others")
    return f"Trained from scratch for the gain: {wording.listed(parts)}."


def fewer_labels(table: pd.DataFrame, metric: str) -> Any:
    """The fewest labels with which a method reaches what its baseline reaches with the most.

    Args:
        table: of `against_baseline`.
        metric: which metric it holds.

    Returns:
        That row of the table, or None where only the largest number of labels does it, or none.
    """
    if table.empty or pd.isna(table["scratch"].iloc[-1]):
        return None
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    enough = table[sign * table["mean"] >= sign * table["scratch"].iloc[-1]].index
    return table.loc[enough[0]] if len(enough) and enough[0] < len(table) - 1 else None


def where_it_hurt(board: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Comparisons with the baseline that transfer lost for sure.

    Counted are the methods that start from something learned on other data.

    Returns:
        `rows`: of the leaderboard, those whose interval of the gain lies wholly on the bad side,
        the worst first; `compared`: how many comparisons have an interval; `bare`: how many have
        none, because one seed is shared.
    """
    rows = board[
        (board["metric"] == metric)
        & (board["pairs"] > 0)
        & ~board["representation"].isin(NOT_TRANSFERRED)
    ]
    with_interval = rows.dropna(subset=["gain_low", "gain_high"])
    higher = HIGHER_IS_BETTER[metric]
    bad = with_interval["gain_high"] < 0 if higher else with_interval["gain_low"] > 0
    return {
        "rows": with_interval[bad].sort_values("gain", ascending=higher),
        "compared": len(with_interval),
        "bare": len(rows) - len(with_interval),
    }
