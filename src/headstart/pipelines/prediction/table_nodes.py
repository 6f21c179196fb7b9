"""Nodes of the prediction stage for tables of several tasks."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import draws_of
from headstart.pipelines.multi_task.parameters import MultiTaskParameters
from headstart.pipelines.prediction.chosen import chosen_settings
from headstart.pipelines.prediction.parameters import PredictionParameters

# What `config.json` says of the table beside the model, as ingestion calls it.
_OF_THE_TABLE = ("kind", "task_column", "target_column", "ahead", "difference", "missing_values")
logger = logging.getLogger(__name__)


def hand_over_tasks(
    target: str,
    recommendations: dict[str, Any],
    validation: pd.DataFrame,
    table: pd.DataFrame,
    columns: dict[str, Any],
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    parameters: MultiTaskParameters,
    compute: ComputeParameters,
) -> Any:
    """Fit the recommended method again, on training and validation rows together.

    Args:
        target: name of the target.
        recommendations: target -> the recommended method.
        validation: validation scores, with the hyper-parameters that were chosen.
        table: the target's rows: task, target and features.
        columns: what they are, and how they are made from columns of the user's table.
        splits: which rows are test rows.
        draws: the target's draws; the first seed's is learned from.
        parameters: networks and training.
        compute: of the machine.

    Returns:
        The fitted model (`headstart.learning.multi_task.fitted_tasks.FittedTasks`), with the scores
        that this very model has on the test rows, of the target and of each task.
    """
    from headstart.learning.multi_task.fit import fit_tasks
    from headstart.learning.multi_task.fitted_tasks import FittedTasks
    from headstart.learning.multi_task.scores import task_scores
    from headstart.learning.multi_task.tasks import tasks_of
    from headstart.learning.table_features import coding_of

    answer = recommendations[target]
    draw = next(d for d in draws_of(draws, seeds=1) if d.shots == answer["shots"])
    identity = {name: answer[name] for name in ("track", "target", "representation", "method")}
    data = tasks_of(target, table, columns)
    train = np.concatenate([draw.train, draw.validation])
    none = train[:0]
    test = splits.loc[splits["split"] == "test", "row"].to_numpy()
    fit, model = fit_tasks(
        answer["method"],
        data,
        train=train,
        validation=none,
        test=test,
        parameters=parameters.learning,
        compute=compute,
        seed=draw.seed,
        identity={**identity, "shots": draw.shots, "seed": draw.seed, "episode": None},
        chosen=chosen_settings(validation, answer, draw.seed),
    )
    scores = task_scores(fit, data, train, none, test)
    scored = {
        str(name): dict(zip(rows["metric"].tolist(), rows["value"].tolist(), strict=True))
        for name, rows in scores.groupby("target", sort=False)
    }
    config = {
        **identity,
        **{name: columns[name] for name in _OF_THE_TABLE},
        "timed": "time" in splits,
        "classes": list(data.classes),
        "chosen": fit.chosen,
        "n_train": fit.n_train,
        "n_test": len(test),
        "test": scored[target],
        "test_of_tasks": {task: scored.get(f"{target}.{task}", {}) for task in data.task_names},
    }
    return FittedTasks(config, [coding_of(one) for one in columns["codings"]], model)


def predict_table(model: Any, rows: pd.DataFrame, parameters: PredictionParameters) -> pd.DataFrame:
    """What the model says of every row of a table.

    Args:
        model: the fitted model (`headstart.learning.multi_task.fitted_tasks.FittedTasks`).
        rows: a table with the columns of the one that the model learned from; the target's is not
            needed unless it is predicted ahead.
        parameters: named in messages.

    Returns:
        Columns path (`<file>#<row>`, counted from 0), task, and for numbers predicted; for classes
        label, probability, and probability_<class> of each.

    Raises:
        HeadstartError: there is no row, a column is missing, or there are tasks that the model has
            no network for.
    """
    from headstart.learning.multi_task.fitted_tasks import predict_rows

    found = predict_rows(model, rows, f"The table {parameters.rows}")
    for column, values in found.unread.items():
        logger.warning(
            "The column '%s' holds values that the model cannot read, which count as missing: %s.",
            *(column, ", ".join(f"'{value}'" for value in values[:10])),
        )
    if found.new_tasks:
        logger.warning(
            "The model has not seen the tasks %s; it predicts for them as for all others, and how "
            "well was not measured.",
            ", ".join(found.new_tasks[:10]),
        )
    paths = [f"{Path(parameters.rows).name}#{row}" for row in range(len(found.table))]
    table = found.table.copy()
    table.insert(0, "path", pd.Series(paths, dtype="str"))
    return table
