"""A fitted text model: a language model and a head that together turn texts into probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.learning import linear_probe, nearest_neighbors
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.text.language_model import LanguageModel, encode


@dataclass(frozen=True)
class FittedText:
    """Everything that a prediction needs.

    Attributes:
        config: `target`, `track`, `classes` (labels, in the order of the probabilities),
            `representation`, `method`, `text` (`most_tokens` and `pooling` of the texts it was
            fitted on), `chosen` (hyper-parameters), scores and whatever the model card tells.
        model: makes the representation; of an adapted model the adapted one, adapters merged.
        head: for `nearest_neighbors` what `nearest_neighbors.predict` needs; for every other method
            a linear layer, "weight" (K, D) and "bias" (K,).
        adapter: of `lora` the model with its adapters apart (`peft.PeftModel`); else None.
    """

    config: dict[str, Any]
    model: LanguageModel
    head: dict[str, np.ndarray]
    adapter: Any = None


def predict(model: FittedText, texts: Sequence[str], compute: ComputeParameters) -> np.ndarray:
    """Class probabilities of new texts.

    Args:
        model: the fitted model.
        texts: n of them, at least one.
        compute: device and batch size, in texts of full length.

    Returns:
        float64, shape (n, K); rows sum to one, columns in the order of `config["classes"]`.
    """
    read = model.config["text"]
    features = encode(
        model.model,
        texts,
        most_tokens=read["most_tokens"],
        pooling=read["pooling"],
        batch_tokens=compute.batch_size * read["most_tokens"],
        device=choose_device(compute),
    )
    if model.config["method"] == "nearest_neighbors":
        return nearest_neighbors.predict(model.head, features, len(model.config["classes"]))
    return linear_probe.predict(model.head, features)
