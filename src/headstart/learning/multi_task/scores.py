"""Scores of a fit on every task and over all tasks, as rows of the results table.

The score over all tasks, of target `<target>`, is the mean of the tasks' scores, each task counting
alike; that of one task is of target `<target>.<task>`.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from headstart.learning import metrics
from headstart.learning.fits import COST, IDENTITY, SCORE_COLUMNS, Fit, typed
from headstart.learning.multi_task.tasks import TaskData


def task_scores(
    fit: Fit, data: TaskData, train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """The scores of one fit, one row a split, task and metric.

    Args:
        fit: as `headstart.learning.multi_task.fit.fit_tasks` returns it.
        data: the table.
        train: rows that it learned from.
        validation: rows that it chose on.
        test: rows that it predicted.

    Returns:
        The columns of `SCORE_COLUMNS`. A metric that a task's rows cannot give (AUC where all
        are of one class) has no row there, and is left out of the mean.
    """
    cost = {name: getattr(fit, name) for name in COST}
    chosen = json.dumps(fit.chosen, sort_keys=True)
    rows = []
    for split, predicted, drawn in (
        ("validation", fit.validation, validation),
        ("test", fit.test, test),
    ):
        found: dict[str, list[float]] = {}
        for t, task in enumerate(data.task_names):
            own = data.task[drawn] == t
            values = _scores(predicted[own], data.targets[drawn[own]], data)
            for metric, value in values.items():
                found.setdefault(metric, []).append(value)
                rows.append(
                    {
                        **fit.identity,
                        **{"target": f"{fit.identity['target']}.{task}", "metric": metric},
                        **{"value": value, "n_train": int((data.task[train] == t).sum())},
                        **{"n_test": int(own.sum()), **cost, "split": split, "chosen": chosen},
                    }
                )
        rows += [
            {
                **{**fit.identity, "metric": metric, "value": float(np.mean(values))},
                **{"n_train": fit.n_train, "n_test": len(drawn), **cost},
                **{"split": split, "chosen": chosen},
            }
            for metric, values in found.items()
        ]
    return typed(pd.DataFrame(rows, columns=SCORE_COLUMNS))


def task_predictions(fit: Fit, data: TaskData, test: np.ndarray) -> pd.DataFrame:
    """What one fit predicts for each test row.

    Args:
        fit: the fit.
        data: the table.
        test: its test rows.

    Returns:
        The identity columns, row, task (name), label and predicted (numbers in the target's unit,
        or class numbers), and for classes confidence and p_true, null for numbers.
    """
    table = pd.DataFrame({name: [fit.identity[name]] * len(test) for name in IDENTITY})
    table["row"] = np.asarray(test, dtype=np.int64)
    table["task"] = [data.task_names[t] for t in data.task[test]]
    table["label"] = data.targets[test].astype(np.float64)
    if data.regression:
        return typed(table.assign(predicted=fit.test, confidence=np.nan, p_true=np.nan))
    return typed(
        table.assign(
            predicted=fit.test.argmax(axis=1).astype(np.float64),
            confidence=fit.test.max(axis=1),
            p_true=fit.test[np.arange(len(test)), data.targets[test]],
        )
    )


def _scores(predicted: np.ndarray, targets: np.ndarray, data: TaskData) -> dict[str, float]:
    """Metric -> value on the rows of one task; empty where it has none."""
    if not len(targets):
        return {}
    if data.regression:
        return {name: score(predicted, targets) for name, score in metrics.REGRESSION.items()}
    values = {name: score(predicted, targets) for name, score in metrics.CLASSIFICATION.items()}
    if len(data.classes) == 2 and len(np.unique(targets)) == 2:
        values["auc"] = metrics.auc(predicted, targets)
    return values
