"""Columns of a table as numbers, names or times, whatever they were stored as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_PARTS = ("year", "month", "day", "hour", "minute", "second")


def seems_numeric(values: pd.Series) -> bool:
    """Whether a column holds numbers: all of it, or of text more than half.

    So that one slip of the pen does not make categories of a thousand numbers.
    """
    if pd.api.types.is_bool_dtype(values) or isinstance(values.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_numeric_dtype(values):
        return True
    present = values.dropna()
    if present.map(lambda value: isinstance(value, bool)).any():
        return False
    numbers = pd.to_numeric(present.astype("str"), errors="coerce")
    return len(present) > 0 and bool(numbers.notna().mean() > 0.5)


def as_numbers(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """A column as numbers.

    Returns:
        The numbers, float64, NaN where there is none (infinity counts as none); and, of those rows
        alone that hold something else, what it is, as text.
    """
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    return numbers, values[numbers.isna() & values.notna()].astype("str")


def as_names(values: pd.Series) -> pd.Series:
    """A column as text without blanks around it, null where there is none; 1.0 is named 1."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    text = values.astype("str").where(values.notna()).str.strip()
    return text.where(text != "").astype("str")


def as_times(
    columns: pd.DataFrame, in_parts: bool, form: str | None, unit: Any
) -> tuple[pd.Series, pd.Series]:
    """Columns as times in UTC.

    Args:
        columns: one, or in parts those of year, month, day, hour, minute and second, in this order.
        in_parts: whether they are parts.
        form: of text, as `strptime` has it; None: found out.
        unit: what numbers count since 1970.

    Returns:
        The times, null where there is none; and why there is none, empty where there is one.

    Raises:
        ValueError: numbers without a unit, or more parts than there are.
    """
    if in_parts:
        if columns.shape[1] > len(_PARTS):
            raise ValueError(f"{columns.shape[1]} columns, but a time has {', '.join(_PARTS)}")
        numbers = columns.apply(lambda column: as_numbers(column)[0])
        parts = dict(zip(_PARTS, (numbers[name] for name in numbers), strict=False))
        whole = pd.DataFrame({"month": 1, "day": 1, **parts}, index=columns.index)
        times = pd.to_datetime(whole, errors="coerce", utc=True)
        said = columns.astype("str").agg(" ".join, axis=1)
        missing = numbers.isna().all(axis=1)
    else:
        values = columns.iloc[:, 0]
        if pd.api.types.is_numeric_dtype(values):
            if unit is None:
                raise ValueError(
                    f"'{values.name}' holds numbers; say what they count with time_unit (s, h, D), "
                    "or write a year as a list, [year]"
                )
            times = pd.to_datetime(values, unit=unit, errors="coerce", utc=True)
        else:
            times = pd.to_datetime(values, format=form, errors="coerce", utc=True)
        said, missing = values.astype("str"), values.isna()
    wrong = ("time cannot be read: '" + said + "'").mask(missing, "no time")
    return times.astype("datetime64[us, UTC]"), wrong.where(times.isna(), "").astype("str")
