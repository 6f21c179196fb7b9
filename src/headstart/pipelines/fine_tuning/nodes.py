"""Nodes of the fine-tuning stage: one fit for each number of shots and seed."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import AdaptationParameters, ComputeParameters
from headstart.learning.fits import HISTORY_COLUMNS, PREDICTION_COLUMNS, SCORE_COLUMNS
from headstart.learning.splits import classes_and_test, draws_of
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def fine_tune(
    target: str,
    store: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    encoder: Any,
    checkpoints: Any,
    parameters: FineTuningParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> Tables:
    """Train a pretrained network on a target.

    Args:
        target: name of the target.
        store: its images (`headstart.learning.images.ImageStore`).
        splits: which rows are test rows, and the class of each row.
        draws: rows to train and validate on, for each number of shots and seed.
        encoder: the pretrained network (`headstart.learning.encoders.Encoder`).
        checkpoints: where trainings are kept (`headstart.learning.checkpoints.CheckpointFolder`).
        parameters: of the stage.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        Scores, predictions of the test rows, and training histories.
    """
    return _fits(
        *(target, store, splits, draws, encoder, checkpoints, parameters.fine_tune),
        seeds=(parameters.seeds_of.get(encoder.name, parameters.seeds), parameters.seeds_all),
        compute=compute,
        method="fine_tune",
    )


def from_scratch(
    target: str,
    store: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    encoder: Any,
    checkpoints: Any,
    parameters: FineTuningParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> Tables:
    """Train a network of an encoder's architecture with random weights, new ones for each seed.

    Arguments and tables are those of `fine_tune`.
    """
    return _fits(
        *(target, store, splits, draws, encoder, checkpoints, parameters.from_scratch),
        seeds=(parameters.seeds_of.get(encoder.name, parameters.seeds), parameters.seeds_all),
        compute=compute,
        method="from_scratch",
    )


def _fits(
    target: str,
    store: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    encoder: Any,
    checkpoints: Any,
    parameters: AdaptationParameters,
    *,
    seeds: tuple[int, int],
    compute: ComputeParameters,
    method: str,
) -> Tables:
    from headstart.fingerprint import code_fingerprint
    from headstart.learning.fine_tune import FitPlan, fit_network, run_job
    from headstart.learning.fit_jobs import fit_jobs
    from headstart.learning.fits import tables_of
    from headstart.learning.parallel_fits import run_fits, share

    if encoder.left_out:
        return (
            pd.DataFrame(columns=SCORE_COLUMNS),
            pd.DataFrame(columns=PREDICTION_COLUMNS),
            pd.DataFrame(columns=HISTORY_COLUMNS),
        )
    labels, test = classes_and_test(splits, len(store.images))
    plan = FitPlan(
        encoder=encoder,
        from_scratch=method == "from_scratch",
        images=share(store.images),
        labels=labels,
        classes=int(splits["class"].max()) + 1,
        parameters=parameters,
        compute=compute.model_copy(update={"progress": False}),
        checkpoints=checkpoints,
        made_of=[code_fingerprint(fit_network), store.index["digest"].tolist()],
    )
    jobs = fit_jobs(
        draws_of(draws),
        test,
        seeds=seeds[0],
        seeds_all=seeds[1],
        track="images",
        target=target,
        representation=encoder.name,
        method=method,
    )
    fits = run_fits(run_job, plan, jobs, compute=compute, description=f"{method} {target}")
    done = ((fit, job.validation, test) for fit, job in zip(fits, jobs, strict=True))
    return tables_of(done, labels)
