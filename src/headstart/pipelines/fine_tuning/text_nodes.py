"""Nodes of the fine-tuning stage for texts: fits, what LoRA saves, and what its rank does."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import Draw, classes_and_test, draws_of
from headstart.learning.text.parameters import (
    CostParameters,
    LoraParameters,
    TextAdaptationParameters,
)
from headstart.pipelines.fine_tuning.text_parameters import (
    TextFineTuningParameters,
    TextSeedParameters,
)

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def add_adapters(network: Any, lora: LoraParameters, seed: int) -> Any:
    """What `lora` trains of a network (`headstart.learning.text.lora.add_lora`)."""
    from headstart.learning.text.lora import add_lora

    return add_lora(network, lora, seed)


def free_biases(network: Any, lora: None, seed: int) -> Any:
    """What `bitfit` trains of a network (`headstart.learning.text.bitfit.train_biases`)."""
    from headstart.learning.text.bitfit import train_biases

    return train_biases(network)


def adapt(
    method: str,
    change: Callable[[Any, Any, int], Any] | None,
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
    plan: pd.DataFrame,
    features: Any = None,
    lora: LoraParameters | None = None,
) -> Tables:
    """Adapt a pretrained language model to a target.

    Args:
        method: its name.
        change: from the network to what the method trains of it; None: all of it. The pipeline
            gives it, so that an edit of one method does not concern the others.
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
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).
        features: `headstart.learning.encoders.Features` of the same model, frozen; None: none.
        lora: of the adapters, where there are any.

    Returns:
        Scores, predictions of the test rows, and training histories.
    """
    from headstart.learning.fit_jobs import fit_jobs
    from headstart.learning.fits import tables_of
    from headstart.learning.parallel_fits import run_fits
    from headstart.learning.text.adaptation import run_text_job

    shared = _plan(
        *(representation, texts, splits, model, checkpoints, parameters, compute, features),
        lora=lora,
        change=change,
    )
    labels, test = classes_and_test(splits, len(texts))
    jobs = fit_jobs(
        draws_of(draws),
        test,
        seeds=seeds.seeds,
        seeds_all=seeds.seeds_all,
        track="text",
        target=target,
        representation=representation,
        method=method,
    )
    fits = run_fits(run_text_job, shared, jobs, compute=compute, description=f"{method} {target}")
    done = ((fit, job.validation, test) for fit, job in zip(fits, jobs, strict=True))
    return tables_of(done, labels)


def draws_for_ranks(
    target: str, draws: pd.DataFrame, parameters: TextFineTuningParameters
) -> list[Draw]:
    """The draws of `rank_shots` labels per class, or of the largest number below it.

    Raises:
        HeadstartError: there are no draws of so few labels.
    """
    drawn = list(draws_of(draws, parameters.draws.seeds))
    there = sorted({draw.shots for draw in drawn if draw.shots is not None})
    possible = [shots for shots in there if shots <= parameters.rank_shots]
    if not possible:
        raise HeadstartError(
            f"text_fine_tuning.rank_shots: {target} has no draws of {parameters.rank_shots} "
            f"labels per class or fewer; it has {', '.join(map(str, there)) or 'all'}. Take one of "
            f"these, or add it to draws.shots_of.{target}."
        )
    return [draw for draw in drawn if draw.shots == possible[-1]]


def try_ranks(
    representation: str,
    target: str,
    texts: pd.DataFrame,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    model: Any,
    features: Any,
    checkpoints: Any,
    parameters: TextFineTuningParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> pd.DataFrame:
    """Adapt a language model by LoRA with several ranks, all else being the same.

    Args:
        representation: name of what it starts from.
        target: name of the target.
        texts: of the target.
        splits: which rows are test rows, and the class of each row.
        draws: rows to train and validate on, for each number of shots and seed.
        model: `headstart.learning.text.language_model.LanguageModel`.
        features: `headstart.learning.encoders.Features` of the same model, frozen.
        checkpoints: where trainings are kept.
        parameters: of the stage; its `ranks`, at `rank_shots`.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        Test scores (`headstart.learning.text.lora_ranks.RANK_COLUMNS`).

    Raises:
        HeadstartError: there are no draws of so few labels.
    """
    from headstart.learning.fit_jobs import fit_jobs
    from headstart.learning.parallel_fits import run_fits
    from headstart.learning.text.lora_ranks import RankJob, rank_table, run_rank_job

    few = draws_for_ranks(target, draws, parameters)
    shared = _plan(
        *(representation, texts, splits, model, checkpoints, parameters.lora, compute, features),
        lora=parameters.adapters,
        change=add_adapters,
    )
    labels, test = classes_and_test(splits, len(texts))
    own = fit_jobs(
        few,
        test,
        seeds=parameters.draws.seeds,
        seeds_all=parameters.draws.seeds_all,
        track="text",
        target=target,
        representation=representation,
        method="lora",
    )
    jobs = [RankJob(rank, job) for rank in parameters.ranks for job in own]
    fits = run_fits(run_rank_job, shared, jobs, compute=compute, description=f"ranks {target}")
    return rank_table(zip(jobs, fits, strict=True), labels)


def count_costs(
    representation: str,
    model: Any,
    adapters: LoraParameters,
    parameters: CostParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """What each way of adapting a language model trains, and the memory that this takes.

    Args:
        representation: name of the model.
        model: `headstart.learning.text.language_model.LanguageModel`.
        adapters: of LoRA.
        parameters: what is counted and measured.
        compute: of the machine.

    Returns:
        Columns `headstart.learning.text.lora_costs.COST_COLUMNS`. The measured memory alone
        varies from run to run.
    """
    from headstart.learning.text.lora_costs import cost_table

    return cost_table(representation, model, adapters, parameters, compute)


def _plan(
    representation: str,
    texts: pd.DataFrame,
    splits: pd.DataFrame,
    model: Any,
    checkpoints: Any,
    parameters: TextAdaptationParameters,
    compute: ComputeParameters,
    features: Any,
    *,
    lora: LoraParameters | None,
    change: Callable[[Any, Any, int], Any] | None,
) -> Any:
    """What all fits of one method on one target share."""
    from headstart.fingerprint import code_fingerprint
    from headstart.learning.text.adaptation import TextFitPlan, fit_text

    frozen = None if features is None else features.values
    labels, _ = classes_and_test(splits, len(texts))
    code = [code_fingerprint(function) for function in (fit_text, change) if function]
    return TextFitPlan(
        model=model,
        name=representation,
        texts=list(texts["text"]),
        labels=labels,
        classes=int(splits["class"].max()) + 1,
        features=frozen,
        parameters=parameters,
        lora=lora,
        compute=compute.model_copy(update={"progress": False}),
        adapt=change,
        checkpoints=checkpoints,
        made_of=[code, texts["digest"].tolist(), frozen],
    )
