"""Which fits are done: one for each draw of labels, as it is sent to a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.learning.splits import Draw


@dataclass(frozen=True)
class FitJob:
    """One fit to be done.

    Attributes:
        identity: the columns of `headstart.learning.fits.IDENTITY`; its seed fixes the fit.
        train: rows to learn from; validation, test likewise.
    """

    identity: dict[str, Any]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def fit_jobs(
    draws: Iterable[Draw],
    test: np.ndarray,
    *,
    seeds: int,
    seeds_all: int,
    track: str,
    target: str,
    representation: str,
    method: str,
) -> list[FitJob]:
    """A fit of one method for each draw, long ones first, so that workers end together.

    Args:
        draws: rows to learn from and to choose on.
        test: rows to predict.
        seeds: the first so many draws of each number of shots.
        seeds_all: of all labels, likewise.
        track: of the target; with target, representation and method the identity of the fits.
        target: its name.
        representation: what the method starts from.
        method: its name.
    """
    jobs = [
        FitJob(
            identity={
                **{"track": track, "target": target, "representation": representation},
                **{"method": method, "shots": draw.shots, "seed": draw.seed, "episode": None},
            },
            train=draw.train,
            validation=draw.validation,
            test=test,
        )
        for draw in draws
        if draw.seed < (seeds_all if draw.shots is None else seeds)
    ]
    return sorted(jobs, key=lambda job: -len(job.train))
