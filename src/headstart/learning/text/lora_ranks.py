"""What the rank of LoRA does to accuracy: fits that differ in r alone.

    h = W x + (alpha_r / r) B A x,   alpha_r = alpha r / r_0

so that a rank is not confused with a larger step: alpha / r is that of the configured rank r_0 for
all. With rsLoRA alpha itself stays, whose factor alpha / sqrt(r) is made to suit every rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import Fit, score_table
from headstart.learning.text.adaptation import TextFitPlan, run_text_job
from headstart.learning.text.parameters import LoraParameters

RANK_COLUMNS = [
    *("target", "representation", "rank", "shots", "seed", "metric", "value"),
    *("trainable_parameters", "train_seconds", "peak_memory_bytes"),
]


@dataclass(frozen=True)
class RankJob:
    """One fit of `lora`.

    Attributes:
        rank: r.
        job: rows and identity; the method is `lora`.
    """

    rank: int
    job: FitJob


def at_rank(adapters: LoraParameters, rank: int) -> LoraParameters:
    """The same adapters with another rank.

    Args:
        adapters: as configured.
        rank: r.
    """
    kept = 1.0 if adapters.variant == "rslora" else rank / adapters.rank
    return adapters.model_copy(update={"rank": rank, "alpha": adapters.alpha * kept})


def run_rank_job(plan: TextFitPlan, job: RankJob) -> Fit:
    """One of many fits, unless an interrupted run has finished it already.

    Args:
        plan: what all fits share; of its adapters only the rank differs.
        job: the rank, and the rows.
    """
    assert plan.lora is not None
    checkpoints = plan.checkpoints and plan.checkpoints.at(f"rank_{job.rank}")
    own = replace(plan, lora=at_rank(plan.lora, job.rank), checkpoints=checkpoints)
    return run_text_job(own, job.job)


def rank_table(fits: Iterable[tuple[RankJob, Fit]], labels: np.ndarray) -> pd.DataFrame:
    """Test scores of the fits, one row a rank, seed and metric.

    Args:
        fits: each with its job.
        labels: class of each row, shape (N,).

    Returns:
        Columns `RANK_COLUMNS`.
    """
    tables = []
    for own, fit in fits:
        scores = score_table(fit, labels[own.job.validation], labels[own.job.test])
        tables.append(scores[scores["split"] == "test"].assign(rank=own.rank)[RANK_COLUMNS])
    return pd.concat(tables, ignore_index=True)
