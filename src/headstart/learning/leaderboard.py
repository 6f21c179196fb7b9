"""The leaderboard: the tidy table of scores, and the gain over the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.fits import COST
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.learning.statistics import Interval, mean_interval, paired_gain

BASELINE = "from_scratch"
# Where tasks are learned together, nothing is transferred by a network for each task alone.
BASELINES = {"tables": "separate"}  # track -> method; BASELINE in the others
ALONE = (BASELINE, *BASELINES.values())  # the baselines of all tracks
GROUP = ["track", "target", "representation", "method", "shots", "metric"]
LEADERBOARD_COLUMNS = [
    *GROUP,
    *["mean", "low", "high", "seeds", "baseline", "gain", "gain_low", "gain_high", "pairs"],
    *["n_train", "n_test", *COST],
]
# What these start from was not learned from other data, so a win of theirs is no transfer.
NOT_TRANSFERRED = ("pixels", "random", "imagenet_untrained", "minilm_untrained")

FEATURES = "features"  # the representation where the columns of a table are what is learned from
# The networks of few-shot methods, which all of them start from: a name that tells none apart.
FEW_SHOT_NETWORKS = ("conv4", "dense")
WITHOUT_NAME = (FEATURES, *FEW_SHOT_NETWORKS)
_ALL = -1  # stands for "all labels" (null) while grouping, which drops nulls


def leaderboard(results: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Mean, interval and transfer gain of every method.

    Args:
        results: the results table (columns of `headstart.learning.fits.RESULT_COLUMNS`).
        confidence: coverage of the intervals.

    Returns:
        One row a track, target, representation, method, shots and metric, with `mean`, `low`,
        `high` over `seeds`; `baseline`: whose score from scratch the gain is against
        (`baseline_of`; empty for training from scratch itself); `gain`, `gain_low`, `gain_high`:
        the score minus that score over `pairs` seeds that both have (for a metric where lower is
        better, such as nll, a negative gain is the good one); and mean costs. Where there are
        episodes, they stand for the seeds: each is scored by its mean over the seeds. "From
        scratch" is the track's baseline (`baseline_method`).
        Within a target, metric and number of shots the best stands first.
    """
    keyed = results.assign(shots=results["shots"].fillna(_ALL).astype("int64"))
    baseline = {
        key: by_draw(group)
        for key, group in keyed[keyed["method"] == keyed["track"].map(baseline_method)].groupby(
            ["representation", "track", "target", "shots", "metric"]
        )
    }
    scratch: dict[tuple[Any, Any], set[str]] = {}
    for representation, track, target, *_ in baseline:
        scratch.setdefault((track, target), set()).add(str(representation))
    rows = []
    for key, group in keyed.groupby(GROUP, sort=True):
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        scores = by_draw(group)
        interval = mean_interval(list(scores.values()), confidence)
        row |= {"mean": interval.mean, "low": interval.low, "high": interval.high}
        row["seeds"] = interval.n
        gain: Interval | None = None
        row["baseline"] = None
        if row["method"] != baseline_method(row["track"]):
            against = baseline_of(
                row["representation"], scratch.get((row["track"], row["target"]), set())
            )
            place = (against, row["track"], row["target"], row["shots"], row["metric"])
            gain = paired_gain(scores, baseline.get(place, {}), confidence)
            row["baseline"] = against if gain else None
        row["gain"] = gain.mean if gain else math.nan
        row["gain_low"] = gain.low if gain else math.nan
        row["gain_high"] = gain.high if gain else math.nan
        row["pairs"] = gain.n if gain else 0
        for column in ["n_train", "n_test", *COST]:
            row[column] = group[column].astype("Float64").mean()
        rows.append(row)
    table = pd.DataFrame(rows, columns=LEADERBOARD_COLUMNS)
    direction = table["metric"].map(lambda m: -1.0 if HIGHER_IS_BETTER[m] else 1.0)
    table = (
        table.assign(
            _metric=table["metric"].map(list(HIGHER_IS_BETTER).index),
            _shots=table["shots"].replace(_ALL, np.iinfo("int64").max),
            _rank=table["mean"] * direction,
        )
        .sort_values(["track", "target", "_metric", "_shots", "_rank"], kind="stable")
        .drop(columns=["_metric", "_shots", "_rank"])
        .reset_index(drop=True)
    )
    shots = table["shots"].astype("Int64")
    counts = ["n_train", "n_test", "trainable_parameters", "total_parameters"]
    whole = {
        c: table[c].astype("Float64").round().astype("Int64")
        for c in [*counts, "peak_memory_bytes"]
    }
    return table.assign(shots=shots.mask(shots == _ALL), **whole)


def by_draw(group: pd.DataFrame) -> dict[int, float]:
    """Seed -> score; where there are episodes, episode -> mean score over the seeds."""
    draw = "episode" if group["episode"].notna().any() else "seed"
    means = group.groupby(draw)["value"].mean()
    return dict(zip(means.index.tolist(), means.tolist(), strict=True))


def baseline_method(track: str) -> str:
    """The method that a track's gains are measured against.

    Args:
        track: images, text, tables or few_shot.
    """
    return BASELINES.get(track, BASELINE)


def deciding_metric(
    target: str, tried: Collection[str], metric: str, metric_of: Mapping[str, str] | None = None
) -> str:
    """The metric that decides on a target.

    Args:
        target: its name.
        tried: the metrics that it is scored by.
        metric: the one that was asked for.
        metric_of: target -> the one that was asked for on it alone.

    Returns:
        That one. On a target that `metric` cannot score, such as accuracy on a regression, the
        first of the known ones that can.

    Raises:
        HeadstartError: the target is not scored by the one that was asked for on it alone.
    """
    own = (metric_of or {}).get(target)
    if own is None:
        return metric if metric in tried else next(m for m in HIGHER_IS_BETTER if m in tried)
    if own not in tried:
        raise HeadstartError(
            f"evaluation.metric_of.{target}: '{target}' is not scored by {own}; it has "
            f"{', '.join(m for m in HIGHER_IS_BETTER if m in tried)}."
        )
    return own


def baseline_of(representation: str, scratch: Collection[str]) -> str | None:
    """The network whose training from scratch a representation's gain is measured against.

    Args:
        representation: what a method starts from.
        scratch: the representations of all rows of the baseline on the target.

    Returns:
        `<representation>_untrained`, where that was trained from scratch: the same architecture;
        else `random`, the network of the pretext tasks, which also stands in for representations
        without a network (pixels, pca); else the one network that was, if it was only one; else
        None.
    """
    own = f"{representation}_untrained"
    only = list(scratch) if len(scratch) == 1 else []
    return next((name for name in (own, "random", *only) if name in scratch), None)
