"""Nodes of the probing stage."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from headstart.learning.fits import (
    PREDICTION_COLUMNS,
    SCORE_COLUMNS,
    tables_of,
)
from headstart.learning.splits import classes_and_test, draws_of
from headstart.pipelines.probing.parameters import ProbingParameters


def linear_probe(
    track: str,
    features: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    parameters: ProbingParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit a linear probe on every draw of labels.

    Args:
        track: of the target.
        features: `headstart.learning.encoders.Features` of the target.
        splits: the target's splits.
        draws: the draws of labels.
        parameters: strengths to choose among.

    Returns:
        Scores and predictions (`headstart.learning.fits`).
    """
    from headstart.learning.linear_probe import fit_linear_probe

    fit = partial(fit_linear_probe, **parameters.linear_probe.model_dump())
    return _fit_all("linear_probe", track, fit, features, splits, draws)


def nearest_neighbors(
    track: str,
    features: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    parameters: ProbingParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let the nearest neighbors vote, on every draw of labels.

    Args:
        track: of the target.
        features: `headstart.learning.encoders.Features` of the target.
        splits: the target's splits.
        draws: the draws of labels.
        parameters: numbers of neighbors to choose among, temperature, smoothing.

    Returns:
        Scores and predictions (`headstart.learning.fits`).
    """
    from headstart.learning.nearest_neighbors import fit_nearest_neighbors

    fit = partial(fit_nearest_neighbors, **parameters.nearest_neighbors.model_dump())
    return _fit_all("nearest_neighbors", track, fit, features, splits, draws)


def _fit_all(
    method: str,
    track: str,
    fit_one: Callable[..., Any],
    features: Any,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    target = str(splits["target"].iloc[0])
    labels, test = classes_and_test(splits, len(features.values))
    if features.left_out:
        return pd.DataFrame(columns=SCORE_COLUMNS), pd.DataFrame(columns=PREDICTION_COLUMNS)
    fits = []
    bar = tqdm(list(draws_of(draws)), desc=f"{target}: {method} on {features.name}", unit="fit")
    for draw in bar:
        fit, _ = fit_one(
            features,
            labels,
            train=draw.train,
            validation=draw.validation,
            test=test,
            classes=int(splits["class"].max()) + 1,
            identity={
                "track": track,
                "target": target,
                "representation": features.name,
                "method": method,
                "shots": draw.shots,
                "seed": draw.seed,
                "episode": None,
            },
        )
        fits.append((fit, draw.validation, test))
    scores, predictions, _ = tables_of(fits, labels)
    return scores, predictions
