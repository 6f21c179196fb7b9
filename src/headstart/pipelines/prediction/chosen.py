"""The settings that were chosen for the fit that is handed over."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd


def chosen_settings(
    validation: pd.DataFrame, answer: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """What was chosen on the validation rows of one draw.

    Args:
        validation: validation scores, with the hyper-parameters that were chosen.
        answer: the recommendation of a target.
        seed: of the draw.
    """
    shots = validation["shots"]
    fits = validation[
        (validation["target"] == answer["target"])
        & (validation["representation"] == answer["representation"])
        & (validation["method"] == answer["method"])
        & (validation["seed"] == seed)
        & (shots.isna() if answer["shots"] is None else shots == answer["shots"])
    ]
    settings: dict[str, Any] = json.loads(fits["chosen"].iloc[0])
    return settings
