"""The recommended method, fitted once more to be handed over.

It learns from the training and the validation rows together, its hyper-parameters being those
that were chosen on the validation rows before. The test rows stay unseen, so the figures that go
with the model are measured on this very model.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from headstart.learning.configuration import AdaptationParameters, ComputeParameters
from headstart.learning.encoders import Encoder, Features, extract
from headstart.learning.fine_tune import fit_network
from headstart.learning.fits import Fit
from headstart.learning.linear_probe import fit_linear_probe
from headstart.learning.nearest_neighbors import fit_nearest_neighbors
from headstart.learning.processes import in_processes


def refit(
    identity: dict[str, Any],
    chosen: dict[str, Any],
    *,
    encoder: Encoder,
    images: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    classes: int,
    neighbors: dict[str, float],
    adaptation: AdaptationParameters,
    compute: ComputeParameters,
) -> tuple[Fit, Encoder, dict[str, np.ndarray]]:
    """Fit a method with given hyper-parameters.

    Args:
        identity: the columns of `headstart.learning.fits.IDENTITY`; `method` says which.
        chosen: the hyper-parameters (`Fit.chosen` of the fit that chose them).
        encoder: what the method starts from.
        images: uint8, shape (N, H, W, C).
        labels: class of each row, shape (N,).
        train: rows to learn from.
        test: rows to predict.
        classes: number of classes K.
        neighbors: temperature and smoothing of `nearest_neighbors`.
        adaptation: how a network is trained.
        compute: device, precision and so on.

    Returns:
        The fit, the encoder to predict with, and the head.

    Raises:
        ValueError: there is no such method.
    """
    method = identity["method"]
    nobody = train[:0]
    if method in ("linear_probe", "nearest_neighbors"):
        values = extract(encoder, images, compute, description=f"extract {encoder.name}")
        features = Features(encoder.name, values, encoder.parameters)
    if method == "linear_probe":
        fit, head = fit_linear_probe(
            features,
            labels,
            train=train,
            validation=nobody,
            test=test,
            classes=classes,
            strengths=[chosen["strength"]],
            identity=identity,
        )
        return fit, encoder, head
    if method == "nearest_neighbors":
        fit, head = fit_nearest_neighbors(
            features,
            labels,
            train=train,
            validation=nobody,
            test=test,
            classes=classes,
            neighbors=[chosen["k"]],
            temperature=neighbors["temperature"],
            smoothing=neighbors["smoothing"],
            identity=identity,
        )
        return fit, encoder, head
    if method in ("fine_tune", "from_scratch"):
        again = partial(
            fit_network,
            encoder,
            images,
            labels,
            train_rows=train,
            validation_rows=nobody,
            test_rows=test,
            classes=classes,
            parameters=adaptation,
            compute=compute,
            identity=identity,
            from_scratch=method == "from_scratch",
            chosen=chosen,
        )
        return in_processes(again, compute, f"{method} {identity['target']}")
    raise ValueError(f"There is no method '{method}' to fit again.")
