"""Columns of a table as numbers that a network can be fed: what ingestion does to them.

Nothing here is learned from the values of the target, nor scaled: that is done on training rows
alone. A missing value stays missing (NaN), for the same reason.

A number with a period p (an hour of the day, the direction of the wind) becomes two,
sin(2 pi x / p) and cos(2 pi x / p), so that its end lies beside its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.table_columns import as_names, as_numbers
from headstart.learning.task_table import TaskTable


@dataclass(frozen=True)
class ColumnCoding:
    """How the features of one column are made, of the rows that it was found on and of new ones.

    Attributes:
        column: its name.
        features: names of the features, in the order of `apply`.
        categories: all of its values, where it is text; none: numbers.
        period: of a number that goes round.
        limits: smallest and largest number; what lies outside is a missing value.
        indicated: the last feature is 1 where the value is missing and 0 elsewhere.
    """

    column: str
    features: tuple[str, ...]
    categories: tuple[str, ...] = ()
    period: float | None = None
    limits: tuple[float, float] | None = None
    indicated: bool = False

    def read(self, values: pd.Series) -> tuple[pd.Series, pd.Series]:
        """A column, however it was stored, as `apply` takes it.

        Returns:
            Numbers (float64) or names, null where there is none that is known; and, of those rows
            alone that hold something else, what it is, as text.
        """
        if not self.categories:
            return as_numbers(values)
        names = as_names(values)
        known = names.isin(self.categories)
        return names.where(known), names[~known & names.notna()]

    def apply(self, values: pd.Series) -> pd.DataFrame:
        """The features of some rows.

        Args:
            values: numbers (float64), or names among the categories.

        Returns:
            The columns `features`, float64, NaN where the value is missing.
        """
        if self.limits is not None:
            values = values.where(values.between(*self.limits))
        known = values.notna()
        if self.categories:
            shown = _shown(self.categories)
            made = [(values == one).astype("float64").where(known) for one in shown]
        elif self.period is not None:
            angle = 2 * np.pi * values / self.period
            made = [np.sin(angle), np.cos(angle)]
        else:
            made = [values]
        if self.indicated:
            made.append((~known).astype("float64"))
        return pd.DataFrame(dict(zip(self.features, made, strict=True)))


def coding_of(stored: Mapping[str, Any]) -> ColumnCoding:
    """A coding out of its fields, as JSON has them."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return ColumnCoding(**fields)


@dataclass(frozen=True)
class Features:
    """Features of a table, and where they are from.

    Attributes:
        table: one column a feature, float64, NaN where the value is missing.
        codings: of the columns that they are made from.
        missing: column -> how many of its values are missing.
        outside: column -> how many of these lay outside of its limits.
        left_out: column -> why no feature is made from it.
    """

    table: pd.DataFrame
    codings: tuple[ColumnCoding, ...]
    missing: dict[str, int]
    outside: dict[str, int]
    left_out: dict[str, str]

    @property
    def made_from(self) -> dict[str, str]:
        """Feature -> the column that it is made from."""
        return {feature: one.column for one in self.codings for feature in one.features}


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
    taken: set[str] = set(reserved)
    codings: list[ColumnCoding] = []
    outside: dict[str, int] = {}
    missing: dict[str, int] = {}
    left_out = dict(table.left_out)
    for column in inputs.columns:
        name = str(column)
        values = inputs[name]
        limits = None
        if name in table.limits and values.dtype == np.float64:
            limits = table.limits[name]
            inside = values.between(*limits) | values.isna()
            outside[name] = int((~inside).sum())
            values = values.where(inside)
        different = values.nunique()
        missing[name] = int(values.isna().sum())
        if different < 2:
            left_out[name] = "has one value only" if different else "is empty"
            continue
        categories: tuple[str, ...] = ()
        period = None
        if values.dtype == np.float64:
            period = table.cycles.get(name)
            named = [name] if period is None else [f"{name}_sin", f"{name}_cos"]
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
            categories = tuple(sorted(values.dropna().unique()))
            named = [f"{name}={one}" for one in _shown(categories)]
        indicated = missing[name] > missing_share * len(values)
        named += [f"{name}_missing"] * indicated
        free = []
        for feature in named:
            free.append(_free_name(feature, taken.__contains__))
            taken.add(free[-1])
        codings.append(ColumnCoding(name, tuple(free), categories, period, limits, indicated))
    if not codings and len(rows):
        raise HeadstartError(
            "No column of the table can be predicted from: "
            + "; ".join(f"'{column}' {why}" for column, why in left_out.items())
            + "."
        )
    made = [one.apply(inputs[one.column]) for one in codings]
    features = pd.concat(made, axis=1) if made else pd.DataFrame()
    return Features(features, tuple(codings), missing, outside, left_out)


def _shown(categories: Sequence[str]) -> Sequence[str]:
    """Those that have a column: of two the second alone."""
    return categories[1:] if len(categories) == 2 else categories


def _free_name(name: str, taken: Callable[[str], bool]) -> str:
    while taken(name):
        name += "_"
    return name
