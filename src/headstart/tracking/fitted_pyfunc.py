"""A fitted model as MLflow loads it: this module, and the folder that the catalog wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.datasets import FittedModelDataset, FittedTextDataset
from headstart.datasets.fitted_model import read_config
from headstart.learning.configuration import ComputeParameters


class FittedPyfunc:
    """Images or texts in, labels out.

    Args:
        probabilities_of: examples -> class probabilities, shape (n, K).
        classes: K labels.
    """

    def __init__(self, probabilities_of: Callable[[Any], np.ndarray], classes: Sequence[str]):
        self._probabilities_of = probabilities_of
        self._classes = np.asarray(classes, dtype=object)

    def predict(self, model_input: Any, params: Any = None) -> pd.DataFrame:
        """The most probable class of each example.

        Args:
            model_input: images, uint8, shape (n, H, W, C); or a table with the column `text`.
            params: ignored here, for MLflow.

        Returns:
            Columns label, probability; one row an example.
        """
        probabilities = self._probabilities_of(model_input)
        return pd.DataFrame(
            {
                "label": self._classes[probabilities.argmax(axis=1)],
                "probability": probabilities.max(axis=1),
            }
        )


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> FittedPyfunc:
    """What MLflow calls.

    Args:
        path: the model's folder.
        model_config: device, batch size (`headstart.learning.configuration.ComputeParameters`).
    """
    compute = ComputeParameters(**(model_config or {}))
    folder = str(path)
    if read_config(Path(path))["track"] == "text":
        from headstart.learning.text import fitted_text

        text = FittedTextDataset(filepath=folder).load()
        return FittedPyfunc(
            lambda table: fitted_text.predict(text, table["text"].tolist(), compute),
            text.config["classes"],
        )
    from headstart.learning import fitted_model

    image = FittedModelDataset(filepath=folder).load()
    return FittedPyfunc(
        lambda images: fitted_model.predict(image, np.asarray(images), compute),
        image.config["classes"],
    )
