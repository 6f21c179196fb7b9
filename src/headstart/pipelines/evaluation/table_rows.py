"""Rows of the tables that the figures and sections of the report are about."""

from __future__ import annotations

from typing import Any

import pandas as pd


def of_target(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows of one target; where there are none, with the columns that are asked for here."""
    rows = table[table["target"] == target]
    columns = ["representation", "method", "shots", "seed", "row", "label", "predicted"]
    columns += ["confidence", "step", "name", "value", "x", "y"]
    return rows if len(rows) else rows.reindex(columns=columns)


def at_most_shots(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the most labels: all labels where they were tried."""
    everything = table["shots"].isna()
    return table[everything] if everything.any() else table[table["shots"] == table["shots"].max()]


def methods_of(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods in the order of their first row."""
    pairs = rows[["representation", "method"]].itertuples(index=False)
    return list(dict.fromkeys((str(r), str(m)) for r, m in pairs))


def of_method(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    """The rows of one representation and method."""
    return rows[(rows["representation"] == key[0]) & (rows["method"] == key[1])]


def families(table: pd.DataFrame) -> dict[str, list[str]]:
    """Representation -> its methods, both in the order of the table."""
    if table.empty:
        return {}
    return {
        str(name): list(dict.fromkeys(rows["method"]))
        for name, rows in table.groupby("representation", sort=False)
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row as a dictionary."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def shots_key(shots: Any) -> int | None:
    """Shots as a key: None for all labels."""
    return None if pd.isna(shots) else int(shots)
