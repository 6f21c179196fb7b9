"""Nodes of the multi-task stage: one fit for each number of rows and seed."""

import logging
from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.leaderboard import FEATURES
from headstart.learning.splits import draws_of
from headstart.pipelines.multi_task.parameters import MultiTaskParameters

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]
logger = logging.getLogger(__name__)


def fit_method(
    method: str,
    target: str,
    table: pd.DataFrame,
    columns: dict[str, Any],
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    checkpoints: Any,
    parameters: MultiTaskParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> Tables:
    """Learn the tasks of a table by one method.

    Args:
        method: a key of `headstart.learning.multi_task.registry.METHODS`.
        target: name of the target.
        table: its rows: task, target and features.
        columns: what they are (`headstart.learning.table_features`).
        splits: which rows are test rows.
        draws: rows to learn from and to choose on, for each number of rows and seed.
        checkpoints: where fits are kept.
        parameters: of the stage.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        Scores, of the target and of each task in it (`<target>.<task>`); predictions of the test
        rows; the training histories; and the cosines of the tasks' gradients over training, of a
        method that shares layers.
    """
    from headstart.fingerprint import code_fingerprint
    from headstart.learning.fit_jobs import fit_jobs
    from headstart.learning.fits import history_table
    from headstart.learning.multi_task.conflict import cosine_table
    from headstart.learning.multi_task.fit import TaskFitPlan, fit_tasks, run_task_job
    from headstart.learning.multi_task.scores import task_predictions, task_scores
    from headstart.learning.multi_task.tasks import tasks_of
    from headstart.learning.parallel_fits import run_fits

    data = tasks_of(target, table, columns)
    test = splits.loc[splits["split"] == "test", "row"].to_numpy()
    shared = TaskFitPlan(
        data=data,
        parameters=parameters.learning,
        compute=compute.model_copy(update={"progress": False}),
        checkpoints=checkpoints,
        made_of=[
            code_fingerprint(fit_tasks),
            pd.util.hash_pandas_object(table).to_numpy(),
            columns,
        ],
    )
    jobs = fit_jobs(
        draws_of(draws),
        test,
        seeds=parameters.seeds,
        seeds_all=parameters.seeds_all,
        track="tables",
        target=target,
        representation=FEATURES,
        method=method,
    )
    tables = []
    fits = run_fits(run_task_job, shared, jobs, compute=compute, description=f"{method} {target}")
    for fit, job in zip(fits, jobs, strict=True):
        history = history_table(fit)
        tables.append(
            (
                task_scores(fit, data, job.train, job.validation, job.test),
                task_predictions(fit, data, job.test),
                history[~history["name"].str.contains(".", regex=False)],
                cosine_table(history, data.task_names),
            )
        )
    scores, predictions, histories, cosines = (
        pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)
    )
    return scores, predictions, histories, cosines


def measure_pair_gains(
    target: str,
    table: pd.DataFrame,
    columns: dict[str, Any],
    draws: pd.DataFrame,
    parameters: MultiTaskParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> pd.DataFrame:
    """Learn every pair of tasks together, with few rows, and each task alone.

    Args:
        target: name of the target.
        table: its rows: task, target and features.
        columns: what they are.
        draws: rows to learn from and to measure on.
        parameters: of the stage.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        Columns target, shots, seed and `headstart.learning.multi_task.groupings.GAIN_COLUMNS`; no
        row where there are too many tasks.
    """
    from headstart.learning.multi_task.groupings import GAIN_COLUMNS, transfer_gains
    from headstart.learning.multi_task.tasks import tasks_of

    data = tasks_of(target, table, columns)
    most = parameters.learning.conflict.tasks
    tables = [pd.DataFrame(columns=["target", "shots", "seed", *GAIN_COLUMNS])]
    if len(data.task_names) > most:
        logger.info(
            "%s: which of its %d tasks help which is not tried out; multi_task.learning.conflict."
            "tasks allows %d.",
            *(target, len(data.task_names), most),
        )
        return tables[0]
    fewest = next(draws_of(draws)).shots
    for draw in draws_of(draws, parameters.pair_gains.seeds):
        if draw.shots == fewest:
            gains = transfer_gains(
                data,
                train=draw.train,
                validation=draw.validation,
                parameters=parameters.learning,
                compute=compute,
                seed=draw.seed,
            )
            tables.append(gains.assign(target=target, shots=draw.shots, seed=draw.seed))
    found = pd.concat(tables[1:], ignore_index=True)[tables[0].columns.tolist()]
    return found.astype({"shots": "Int64"})
