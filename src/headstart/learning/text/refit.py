"""The recommended method of a target that is texts, fitted once more to be handed over.

As with images (`headstart.learning.refit`) it learns from the training and the validation rows
together, with the hyper-parameters that were chosen on the validation rows before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import Features, choose_device
from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import Fit
from headstart.learning.linear_probe import fit_linear_probe
from headstart.learning.nearest_neighbors import fit_nearest_neighbors
from headstart.learning.text.adaptation import Adaptation, TextFitPlan, fit_text
from headstart.learning.text.bitfit import train_biases
from headstart.learning.text.language_model import LanguageModel, encode
from headstart.learning.text.lora import add_lora, merge_lora
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters

# Of the methods that do not train all weights.
ADAPTATIONS: dict[str, Adaptation] = {
    "lora": add_lora,
    "bitfit": lambda network, lora, seed: train_biases(network),
}

Refitted = tuple[Fit, LanguageModel, dict[str, np.ndarray], Any, dict[str, Any]]


def refit_text(
    identity: dict[str, Any],
    chosen: dict[str, Any],
    *,
    model: LanguageModel,
    texts: Sequence[str],
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    classes: int,
    encoder: dict[str, Any],
    batch_tokens: int,
    neighbors: dict[str, float],
    adaptation: TextAdaptationParameters | None,
    lora: LoraParameters,
    compute: ComputeParameters,
) -> Refitted:
    """Fit a method with given hyper-parameters.

    Args:
        identity: the columns of `headstart.learning.fits.IDENTITY`; `method` says which.
        chosen: the hyper-parameters (`Fit.chosen` of the fit that chose them).
        model: what the method starts from.
        texts: of the target, N.
        labels: class of each row, shape (N,).
        train: rows to learn from.
        test: rows to predict.
        classes: number of classes K.
        encoder: `most_tokens` and `pooling` of frozen features.
        batch_tokens: tokens a batch of these.
        neighbors: temperature and smoothing of `nearest_neighbors`.
        adaptation: how the model is trained, for the methods that train it.
        lora: of the adapters.
        compute: of the machine.

    Returns:
        The fit; the model to predict with; the head; the model with its adapters apart, or None;
        and `most_tokens` and `pooling` of the texts it reads.
    """
    method, nobody = str(identity["method"]), train[:0]
    features = Features(
        str(identity["representation"]),
        encode(model, texts, batch_tokens=batch_tokens, device=choose_device(compute), **encoder),
        model.parameters,
    )
    rows: dict[str, Any] = {"train": train, "validation": nobody, "test": test, "classes": classes}
    if method == "linear_probe":
        fit, head = fit_linear_probe(
            features, labels, **rows, strengths=[chosen["strength"]], identity=identity
        )
        return fit, model, head, None, encoder
    if method == "nearest_neighbors":
        smoothing: dict[str, Any] = neighbors
        fit, head = fit_nearest_neighbors(
            features, labels, **rows, **smoothing, neighbors=[chosen["k"]], identity=identity
        )
        return fit, model, head, None, encoder
    assert adaptation is not None
    plan = TextFitPlan(
        model=model,
        name=features.name,
        texts=texts,
        labels=labels,
        classes=classes,
        features=features.values,
        parameters=adaptation,
        lora=lora,
        compute=compute,
        adapt=ADAPTATIONS.get(method),
    )
    fit, trained = fit_text(plan, FitJob(identity, train, nobody, test), chosen=chosen)
    network = trained.network.cpu()
    adapter = copy.deepcopy(network) if method == "lora" else None
    merged = merge_lora(network) if method == "lora" else network
    head = {
        "weight": trained.head.weight.detach().cpu().double().numpy(),
        "bias": trained.head.bias.detach().cpu().double().numpy(),
    }
    read = {"most_tokens": adaptation.most_tokens, "pooling": adaptation.pooling}
    return fit, LanguageModel(merged.eval(), model.tokenizer), head, adapter, read
