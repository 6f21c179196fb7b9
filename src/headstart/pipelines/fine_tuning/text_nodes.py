"""Nodes of the fine-tuning stage for texts: one fit for each number of shots and seed."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import classes_and_test, draws_of
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.pipelines.fine_tuning.text_parameters import TextSeedParameters

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def adapt(
    method: str,
    representation: str,
    target: str,
    texts: pd.DataFrame,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    model: Any,
    checkpoints: Any,
    seeds: TextSeedParameters,
    parameters: TextAdaptationParameters,
    compute: ComputeParameters,
    features: Any = None,
    lora: LoraParameters | None = None,
) -> Tables:
    """Adapt a pretrained language model to a target.

    Args:
        method: a key of `headstart.learning.text.adaptation.ADAPTATIONS`.
        representation: name of what it starts from.
        target: name of the target.
        texts: of the target.
        splits: which rows are test rows, and the class of each row.
        draws: rows to train and validate on, for each number of shots and seed.
        model: `headstart.learning.text.language_model.LanguageModel`.
        checkpoints: where trainings are kept.
        seeds: how many of the draws are used.
        parameters: of the training.
        compute: of the machine.
        features: `headstart.learning.encoders.Features` of the same model, frozen; None: none.
        lora: of the adapters, where there are any.

    Returns:
        Scores, predictions of the test rows, and training histories.
    """
    from headstart.fingerprint import code_fingerprint
    from headstart.learning.fine_tune import FitJob
    from headstart.learning.fits import tables_of
    from headstart.learning.parallel_fits import run_fits
    from headstart.learning.text.adaptation import TextFitPlan, fit_text, run_text_job

    frozen = None if features is None else features.values
    labels, test = classes_and_test(splits, len(texts))
    plan = TextFitPlan(
        model=model,
        name=representation,
        texts=list(texts["text"]),
        labels=labels,
        classes=int(splits["class"].max()) + 1,
        features=frozen,
        parameters=parameters,
        lora=lora,
        compute=compute.model_copy(update={"progress": False}),
        checkpoints=checkpoints,
        made_of=[code_fingerprint(fit_text), texts["digest"].tolist(), frozen],
    )
    jobs = [
        FitJob(
            identity={
                **{"track": "text", "target": target, "representation": representation},
                **{"method": method, "shots": draw.shots, "seed": draw.seed, "episode": None},
            },
            train=draw.train,
            validation=draw.validation,
            test=test,
        )
        for draw in draws_of(draws)
        if draw.seed < (seeds.seeds_all if draw.shots is None else seeds.seeds)
    ]
    jobs.sort(key=lambda job: -len(job.train))  # long ones first, so that workers end together
    fits = run_fits(run_text_job, plan, jobs, compute=compute, description=f"{method} {target}")
    done = ((fit, job.validation, test) for fit, job in zip(fits, jobs, strict=True))
    return tables_of(done, labels)
