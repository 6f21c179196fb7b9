"""What every method returns for one fit, and the tidy rows that are made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning import metrics

IDENTITY = ["track", "target", "representation", "method", "shots", "seed", "episode"]
COST = ["trainable_parameters", "total_parameters", "train_seconds", "peak_memory_bytes"]
RESULT_COLUMNS = [*IDENTITY, "metric", "value", "n_train", "n_test", *COST]
SCORE_COLUMNS = [*RESULT_COLUMNS, "split", "chosen"]
PREDICTION_COLUMNS = [*IDENTITY, "row", "label", "predicted", "confidence", "p_true"]
HISTORY_COLUMNS = [*IDENTITY, "step", "epoch", "name", "value"]


@dataclass(frozen=True)
class Fit:
    """One method fitted once: one target, one number of shots, one seed.

    Attributes:
        identity: the columns of `IDENTITY`; `shots` is None for all labels.
        validation: class probabilities on the validation rows, shape (n_validation, classes);
            where the target is a number, these in its unit, shape (n_validation,).
        test: likewise on the test rows.
        n_train: labeled examples that the fit learned from.
        trainable_parameters: numbers that the fit changed.
        total_parameters: numbers that a prediction needs, the frozen encoder included.
        train_seconds: wall-clock time of this fit alone.
        peak_memory_bytes: rise of the memory in use during the fit; None where the
            platform cannot tell.
        chosen: hyper-parameters that were chosen on the validation rows.
        history: tidy training history (step, epoch, name, value), or None.
    """

    identity: dict[str, Any]
    validation: np.ndarray
    test: np.ndarray
    n_train: int
    trainable_parameters: int
    total_parameters: int
    train_seconds: float
    peak_memory_bytes: int | None
    chosen: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame | None = None


def score_table(fit: Fit, labels_validation: np.ndarray, labels_test: np.ndarray) -> pd.DataFrame:
    """The scores of one fit, one row a split and metric.

    Args:
        fit: the fit.
        labels_validation: true classes of the validation rows, shape (n_validation,).
        labels_test: true classes of the test rows, shape (n_test,).

    Returns:
        A table with the columns of `RESULT_COLUMNS`, `split` ("validation" or "test") and `chosen`
        (the hyper-parameters that were chosen, as JSON). Validation scores are there for choosing
        a method; results hold test scores alone.
    """
    cost = {name: getattr(fit, name) for name in COST}
    rows = [
        {
            **fit.identity,
            "metric": metric,
            "value": score(probabilities, labels),
            "n_train": fit.n_train,
            "n_test": len(labels),
            **cost,
            "split": split,
            "chosen": json.dumps(fit.chosen, sort_keys=True),
        }
        for split, probabilities, labels in (
            ("validation", fit.validation, labels_validation),
            ("test", fit.test, labels_test),
        )
        for metric, score in metrics.CLASSIFICATION.items()
    ]
    return typed(pd.DataFrame(rows, columns=SCORE_COLUMNS))


def prediction_table(fit: Fit, rows_test: np.ndarray, labels_test: np.ndarray) -> pd.DataFrame:
    """What one fit predicts for each test row.

    Args:
        fit: the fit.
        rows_test: row numbers of the test examples in the target's store, shape (n_test,).
        labels_test: their true classes, shape (n_test,).

    Returns:
        The identity columns and row, label, predicted (classes), confidence (probability of the
        predicted class), p_true (probability of the true class); one row a test example.
    """
    n = len(labels_test)
    table = pd.DataFrame({name: [fit.identity[name]] * n for name in IDENTITY})
    table["row"] = np.asarray(rows_test, dtype=np.int64)
    table["label"] = np.asarray(labels_test, dtype=np.int64)
    table["predicted"] = fit.test.argmax(axis=1).astype(np.int64)
    table["confidence"] = fit.test.max(axis=1).astype(np.float64)
    table["p_true"] = fit.test[np.arange(n), labels_test].astype(np.float64)
    return typed(table)


def history_table(fit: Fit) -> pd.DataFrame:
    """The training history of one fit with the identity columns before it.

    Returns:
        The identity columns and step, epoch, name (for instance "train_loss"), value; no row
        for a fit without a history.
    """
    history = pd.DataFrame(columns=["step", "epoch", "name", "value"])
    if fit.history is not None:
        history = fit.history[list(history.columns)]
    table = pd.DataFrame({name: [fit.identity[name]] * len(history) for name in IDENTITY})
    return typed(pd.concat([table, history.reset_index(drop=True)], axis=1))


def tables_of(
    fits: Iterable[tuple[Fit, np.ndarray, np.ndarray]], labels: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores, predictions of the test rows and training histories of several fits.

    Args:
        fits: each with its validation rows and its test rows; at least one.
        labels: class of each row, shape (N,).
    """
    tables = [
        (
            score_table(fit, labels[validation], labels[test]),
            prediction_table(fit, test, labels[test]),
            history_table(fit),
        )
        for fit, validation, test in fits
    ]
    scores, predictions, histories = zip(*tables, strict=True)
    return (
        pd.concat(scores, ignore_index=True),
        pd.concat(predictions, ignore_index=True),
        pd.concat(histories, ignore_index=True),
    )


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """One type a column whatever the values, so that tables of different fits concatenate."""
    types = {
        "shots": "Int64",
        "seed": "int64",
        "episode": "Int64",
        "n_train": "int64",
        "n_test": "int64",
        "trainable_parameters": "int64",
        "total_parameters": "int64",
        "peak_memory_bytes": "Int64",
        "train_seconds": "float64",
        "value": "float64",
        "step": "int64",
        "epoch": "int64",
    }
    types |= dict.fromkeys(
        ["track", "target", "representation", "method", "metric", "name", "split", "chosen"], "str"
    )
    return table.astype({name: kind for name, kind in types.items() if name in table.columns})
