"""The recommendation: which method to use on each target, and why, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.leaderboard import (
    BASELINE,
    NOT_TRANSFERRED,
    WITHOUT_NAME,
    baseline_method,
    by_draw,
    deciding_metric,
)
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.learning.statistics import Interval

# In a sentence:
_NAMES = {
    **{"fine_tune": "Fine-tuning", "linear_probe": "A linear probe"},
    **{"separate": "A network for each task", "pooled": "One network for all tasks"},
    **{"pooled_with_task": "One network, told the task", "layer_sharing": "Sharing layers"},
    **{"regularized": "Pairwise regularization", "pcgrad": "Sharing layers with PCGrad"},
    **{"maml": "MAML", "fomaml": "First-order MAML", "anil": "ANIL", "reptile": "Reptile"},
    **{"prototypical": "Prototypical networks", "joint_training": "Joint training"},
    **{"pooled_pretraining": "Baseline++ (pooled pretraining)"},
    **{"nearest_centroid": "Nearest centroid"},
}
_LABELS = {"tables": "labeled rows per task", "few_shot": "shots"}  # labels per class elsewhere
_SCRATCH = {"tables": "separate networks"}


def recommend(
    validation: pd.DataFrame,
    board: pd.DataFrame,
    metric: str = "accuracy",
    metric_of: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The method to use on each target, at the largest number of labels that was tried.

    Chosen on validation scores alone, so that the test scores quoted beside it are unbiased by
    the choice: of all methods within one standard error of the best mean validation score, the
    one that trains the fewest parameters (the one-standard-error rule, Breiman et al. 1984,
    section 3.4.3); ties go to the one with fewer parameters in total, then to the better score.

    Args:
        validation: validation scores, columns as the results table.
        board: the leaderboard (test scores).
        metric: the metric that decides, where a target has it (`deciding_metric`).
        metric_of: target -> the metric that decides there.

    Returns:
        target -> figures of the recommended method (`representation`, `method`, `shots`,
        `validation_score`, `test_mean`, `gain`, costs, …), the `best_validation` runner it was
        compared with, `transfer_pays`, and the `reason` in words.

    Raises:
        HeadstartError: as `deciding_metric`.
    """
    asked = metric
    answers: dict[str, dict[str, Any]] = {}
    # A task within a target, `weather.JFK`, has no recommendation of its own.
    parts = validation["target"].str.contains(".", regex=False) & (validation["track"] == "tables")
    whole = validation[~parts]
    for target, rows in whole.groupby("target", sort=False):
        metric = deciding_metric(str(target), set(rows["metric"]), asked, metric_of)
        sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
        scores = rows[rows["metric"] == metric]
        everything = scores["shots"].isna()
        shots = None if everything.any() else int(scores["shots"].max())
        at_most = scores[everything] if shots is None else scores[scores["shots"] == shots]
        candidates: list[dict[str, Any]] = []
        for (representation, method), group in at_most.groupby(["representation", "method"]):
            values = np.array(list(by_draw(group).values()))
            error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            candidates.append(
                {
                    "representation": representation,
                    "method": method,
                    "score": float(values.mean()),
                    "standard_error": float(error),
                    "trainable_parameters": int(group["trainable_parameters"].iloc[0]),
                    "total_parameters": int(group["total_parameters"].iloc[0]),
                }
            )
        best = max(candidates, key=lambda c: sign * c["score"])
        worst = sign * best["score"] - best["standard_error"]
        chosen = min(
            (c for c in candidates if sign * c["score"] >= worst),
            key=lambda c: (c["trainable_parameters"], c["total_parameters"], -sign * c["score"]),
        )
        answers[str(target)] = _answer(str(target), candidates, chosen, best, shots, metric, board)
    return answers


def _answer(
    target: str,
    candidates: list[dict[str, Any]],
    chosen: dict[str, Any],
    best: dict[str, Any],
    shots: int | None,
    metric: str,
    board: pd.DataFrame,
) -> dict[str, Any]:
    here = board[(board["target"] == target) & (board["metric"] == metric)]
    here = here[here["shots"].isna() if shots is None else here["shots"] == shots]
    row, gain = _row_and_gain(here, chosen)
    test = Interval(row["mean"], row["low"], row["high"], int(row["seeds"]))
    better = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    track = str(row["track"])
    alone = baseline_method(track)
    transferred = _transfers(chosen, alone)
    pays = transferred and gain.excludes_zero and better * gain.mean > 0
    scratch = here[here["method"] == alone]
    ranked = scratch.sort_values("mean", ascending=better < 0, kind="stable")
    best_scratch = (
        {
            "representation": str(ranked["representation"].iloc[0]),
            "mean": float(ranked["mean"].iloc[0]),
        }
        if len(ranked)
        else None
    )
    against = None if pd.isna(row["baseline"]) else str(row["baseline"])
    baseline = scratch.loc[scratch["representation"] == against, "mean"]
    return {
        "target": target,
        "track": track,
        "representation": chosen["representation"],
        "method": chosen["method"],
        "shots": shots,
        "metric": metric,
        "validation_score": chosen["score"],
        "best_validation": best,
        "test_mean": test.mean,
        "test_low": _or_none(test.low),
        "test_high": _or_none(test.high),
        "seeds": test.n,
        "gain": _or_none(gain.mean),
        "gain_low": _or_none(gain.low),
        "gain_high": _or_none(gain.high),
        "pairs": gain.n,
        "baseline": against,
        "baseline_mean": float(baseline.iloc[0]) if len(baseline) else None,
        "best_scratch": best_scratch,
        "n_train": int(row["n_train"]),
        "n_test": int(row["n_test"]),
        "train_seconds": float(row["train_seconds"]),
        "peak_memory_bytes": None
        if pd.isna(row["peak_memory_bytes"])
        else int(row["peak_memory_bytes"]),
        "trainable_parameters": int(row["trainable_parameters"]),
        "total_parameters": int(row["total_parameters"]),
        "transfer_pays": bool(pays),
        "reason": _reason(track, chosen, best, shots, metric, test, gain, better)
        + _other_scratch(against, best_scratch)
        + (_no_transfer(track, candidates, here, better) if chosen["method"] == alone else ""),
    }


def _transfers(candidate: dict[str, Any], alone: str) -> bool:
    """Whether it starts from something that was learned on other data."""
    return candidate["method"] != alone and candidate["representation"] not in NOT_TRANSFERRED


def _row_and_gain(here: pd.DataFrame, candidate: dict[str, Any]) -> tuple[Any, Interval]:
    """Its row of the leaderboard, and the gain in it."""
    own = here["representation"] == candidate["representation"]
    row = here[own & (here["method"] == candidate["method"])].iloc[0]
    return row, Interval(row["gain"], row["gain_low"], row["gain_high"], int(row["pairs"]))


def _no_transfer(
    track: str, candidates: list[dict[str, Any]], here: pd.DataFrame, better: float
) -> str:
    """Why no transfer is recommended: what the best way of it, by validation scores, reaches."""
    transferring = [c for c in candidates if _transfers(c, baseline_method(track))]
    if not transferring:
        return " No way of transferring was compared with it."
    advice = "learn each task alone" if track == "tables" else "train from scratch"
    best = max(transferring, key=lambda candidate: better * candidate["score"])
    row, gain = _row_and_gain(here, best)
    words = f" No way of transferring did better: {advice}. The best of them, "
    words += f"{_call(best, inside=True)}, scores {row['mean']:.3f}"
    if gain.n == 0:
        return words + "."
    scratch = _SCRATCH.get(track, f"training {row['baseline']} from scratch")
    return words + f", {_with_bounds(gain, signed=True)} against {scratch}."


def _reason(
    track: str,
    chosen: dict[str, Any],
    best: dict[str, Any],
    shots: int | None,
    metric: str,
    test: Interval,
    gain: Interval,
    better: float,
) -> str:
    each = _LABELS.get(track, "labels per class")
    labels = "with all labels" if shots is None else f"with {shots} {each}"
    draws = "episodes" if track == "few_shot" else "seeds"
    scratch = _SCRATCH.get(track, "training from scratch")
    name = metric.replace("_", " ")
    if chosen is best:
        words = (
            f"{_call(chosen)} has the best validation {name} {labels}, {chosen['score']:.3f} "
            f"on average over {draws}."
        )
    else:
        words = (
            f"{_call(chosen)} reaches {chosen['score']:.3f} validation {name} {labels}, within "
            f"one standard error of the best ({_call(best)}, {best['score']:.3f}), and trains "
            f"{chosen['trainable_parameters']:,} parameters instead of "
            f"{best['trainable_parameters']:,}."
        )
    words += f" On the test data it scores {_with_bounds(test)}."
    if chosen["method"] == baseline_method(track):
        return words
    if gain.n == 0:
        return words + f" There is no score of {scratch} to compare it with."
    difference = f"{_with_bounds(gain, signed=True)} against {scratch}"
    if chosen["representation"] in NOT_TRANSFERRED:
        return words + f" That is {difference}, without anything learned from other data."
    if not gain.excludes_zero:
        doubt = "may be chance" if gain.n > 1 else "comes from one seed and may be chance"
        return words + f" The gain, {difference}, {doubt}."
    if better * gain.mean < 0:
        return words + f" That is worse than {scratch}: {difference}."
    return words + f" The transfer gain is {difference}."


def _other_scratch(against: str | None, best: dict[str, Any] | None) -> str:
    """Said where another network does better from scratch than the one that the gain is against."""
    if against is None or best is None or best["representation"] == against:
        return ""
    return (
        f" (Compared with {against} from scratch; the best network from scratch is "
        f"{best['representation']}, {best['mean']:.3f}.)"
    )


def _call(candidate: dict[str, Any], inside: bool = False) -> str:
    """In words; `inside` a sentence, else at its beginning."""
    method = candidate["method"]
    if method == BASELINE:
        name = f"Training from scratch ({candidate['representation']})"
    else:
        name = _NAMES.get(method, method.replace("_", " ").capitalize())
        if candidate["representation"] not in WITHOUT_NAME:
            name += f" on {candidate['representation']}"
    acronym = name[1].isupper()  # MAML
    return name[0].lower() + name[1:] if inside and not acronym else name


def _with_bounds(interval: Interval, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    if math.isnan(interval.low):
        return f"{interval.mean:{form}}".replace("-", "−")
    words = f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
    return words.replace("-", "−")


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if pd.isna(value) else float(value)
