"""Fits of meta-learning as rows of the project's tables."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from headstart.learning.fits import COST, IDENTITY, SCORE_COLUMNS, typed
from headstart.learning.meta_learning.fit import MetaFit, MetaFitPlan
from headstart.learning.statistics import mean_interval

CURVE_COLUMNS = [
    *("target", "representation", "method", "shots", "seed", "reading", "metric", "step"),
    *("mean", "low", "high", "episodes", "diverged"),
]
TRAINING_COLUMNS = [
    *("target", "representation", "method", "shots", "seed", "iterations", "batch_size"),
    *("train_seconds", "peak_memory_bytes", "validation"),
]


def identity_of(fit: MetaFit, target: str, representation: str, method: str) -> dict[str, Any]:
    """The columns of `headstart.learning.fits.IDENTITY`, without an episode.

    Args:
        fit: says shots and seed.
        target: name of the rows' target.
        representation: what the method starts from.
        method: its name.
    """
    return {
        **{"track": "few_shot", "target": target, "representation": representation},
        **{"method": method, "shots": fit.job.shots, "seed": fit.job.seed, "episode": None},
    }


def episode_scores(fit: MetaFit, plan: MetaFitPlan, identity: dict[str, Any]) -> pd.DataFrame:
    """The score of each episode after the last step, one row a split, metric and episode.

    Args:
        fit: as `headstart.learning.meta_learning.fit.run_meta_job` returns it.
        plan: what it was made by.
        identity: of `identity_of`.

    Returns:
        The columns of `SCORE_COLUMNS`. The asked reading has the name of the metric; the
        transductive one `<metric>_transductive`.
    """
    asked = plan.test.reading
    parts = [
        ("test", fit.metric, fit.scores[asked][-1]),
        ("validation", fit.metric, fit.validation),
    ]
    if plan.tasks.transductive:
        parts.append(("test", f"{fit.metric}_transductive", fit.scores["query"][-1]))
    same = {
        "n_train": plan.tasks.examples(fit.job.shots),
        "n_test": plan.tasks.examples(plan.queries),
        **{name: getattr(fit, name) for name in COST},
        "chosen": json.dumps({"steps": fit.best_step}),
    }
    tables = [
        pd.DataFrame({"value": values}).assign(
            **{**identity, **same, "metric": metric, "split": split, "episode": range(len(values))}
        )
        for split, metric, values in parts
    ]
    return typed(pd.concat(tables, ignore_index=True)[SCORE_COLUMNS])


def score_curves(fit: MetaFit, identity: dict[str, Any], confidence: float = 0.95) -> pd.DataFrame:
    """The score against the number of adaptation steps, of each reading.

    Args:
        fit: the fit.
        identity: of `identity_of`.
        confidence: coverage of the intervals over the episodes.

    Returns:
        The columns of `CURVE_COLUMNS`; a mean is infinite where an episode's error is.
    """
    rows = []
    for reading, scores in fit.scores.items():
        for step, values in enumerate(scores):
            interval = mean_interval(values, confidence)
            rows.append(
                {
                    **{**identity, "reading": reading, "metric": fit.metric, "step": step},
                    **{"mean": interval.mean, "low": interval.low, "high": interval.high},
                    **{"episodes": interval.n, "diverged": int(fit.diverged[reading][step])},
                }
            )
    return typed(pd.DataFrame(rows, columns=CURVE_COLUMNS)).astype({"reading": "str"})


def training_row(fit: MetaFit, plan: MetaFitPlan, identity: dict[str, Any]) -> pd.DataFrame:
    """What the meta-training took, and the score on meta-validation of the weights kept.

    Returns:
        One row with the columns of `TRAINING_COLUMNS`; iterations is 0 without meta-training.
    """
    training = getattr(plan.parameters, "training", None)
    row = {
        **identity,
        "iterations": int(fit.history["step"].max()) if len(fit.history) else 0,
        "batch_size": training.batch_size if training else 0,
        "train_seconds": fit.train_seconds,
        "peak_memory_bytes": fit.peak_memory_bytes,
        "validation": float(fit.validation.mean()),
    }
    return typed(pd.DataFrame([row], columns=TRAINING_COLUMNS))


def course(fit: MetaFit, identity: dict[str, Any]) -> pd.DataFrame:
    """The history of the meta-training: the identity columns, step, epoch, name and value."""
    history = fit.history.assign(**identity)
    return typed(history[[*IDENTITY, "step", "epoch", "name", "value"]])
