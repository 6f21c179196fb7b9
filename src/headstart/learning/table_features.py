"""Columns of a table as numbers that a network can be fed: what ingestion does to them.

Nothing here is learned from the values of the target, nor scaled: that is done on training rows
alone. A missing value stays missing (NaN), for the same reason.

A number with a period p (an hour of the day, the direction of the wind) becomes two,
sin(2 pi x / p) and cos(2 pi x / p), so that its end lies beside its beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.task_table import TaskTable


@dataclass(frozen=True)
class Features:
    """Features of a table, and where they are from.

    Attributes:
        table: one column a feature, float64, NaN where the value is missing.
        made_from: feature -> the column that it is made from.
        missing: column -> how many of its values are missing.
        outside: column -> how many of these lay outside of its limits.
        left_out: column -> why no feature is made from it.
    """

    table: pd.DataFrame
    made_from: dict[str, str]
    missing: dict[str, int]
    outside: dict[str, int]
    left_out: dict[str, str]


def make_features(
    table: TaskTable,
    rows: pd.Index,
    *,
    missing_share: float,
    most_categories: int,
    reserved: frozenset[str],
) -> Features:
    """Numbers as they are, numbers that go round as two, categories as one column each.

    Of two categories the second alone has a column. A column of which more than `missing_share` is
    missing has another beside it, 1 where the value is missing and 0 elsewhere.

    Args:
        table: as it was read.
        rows: the rows that are used.
        missing_share: share of missing values above which being missing is a feature.
        most_categories: most different values of a column of text.
        reserved: names that no feature may have; one that would is given an underscore.

    Raises:
        HeadstartError: no feature is left, or one that the user has named cannot be one.
    """
    inputs = table.inputs.loc[rows]
    features: dict[str, pd.Series] = {}
    made_from: dict[str, str] = {}
    outside: dict[str, int] = {}
    missing: dict[str, int] = {}
    left_out = dict(table.left_out)
    for column in inputs.columns:
        name = str(column)
        values = inputs[name]
        if name in table.limits and values.dtype == np.float64:
            low, high = table.limits[name]
            inside = values.between(low, high) | values.isna()
            outside[name] = int((~inside).sum())
            values = values.where(inside)
        different = values.nunique()
        missing[name] = int(values.isna().sum())
        if different < 2:
            left_out[name] = "has one value only" if different else "is empty"
            continue
        if values.dtype == np.float64:
            own = (
                _cycle(name, values, table.cycles[name]) if name in table.cycles else {name: values}
            )
        elif different > most_categories:
            reason = f"has {different} different values that are not numbers"
            if table.chosen:
                raise HeadstartError(
                    f"The column '{name}', named among the features, {reason}, more than "
                    f"table_ingestion.most_categories = {most_categories} allows. Mend the values "
                    "that should be numbers, leave the column out, or raise that number."
                )
            left_out[name] = reason
            continue
        else:
            own = _categories(name, values)
        if missing[name] > missing_share * len(values):
            own[f"{name}_missing"] = values.isna().astype("float64")
        for feature, numbers in own.items():
            free = _free_name(feature, lambda taken: taken in features or taken in reserved)
            features[free], made_from[free] = numbers, name
    if not features and len(rows):
        raise HeadstartError(
            "No column of the table can be predicted from: "
            + "; ".join(f"'{column}' {why}" for column, why in left_out.items())
            + "."
        )
    return Features(pd.DataFrame(features), made_from, missing, outside, left_out)


def _cycle(name: str, values: pd.Series, period: float) -> dict[str, pd.Series]:
    angle = 2 * np.pi * values / period
    return {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}


def _categories(name: str, values: pd.Series) -> dict[str, pd.Series]:
    found = sorted(values.dropna().unique())
    shown = found[1:] if len(found) == 2 else found
    known = values.notna()
    return {f"{name}={one}": (values == one).astype("float64").where(known) for one in shown}


def _free_name(name: str, taken: Callable[[str], bool]) -> str:
    while taken(name):
        name += "_"
    return name
