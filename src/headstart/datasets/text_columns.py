"""What texts in the columns of any table have in common, wherever the table comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError


class TextColumnsDataset(AbstractDataset[Any, pd.DataFrame]):
    """Texts, and their labels, in two columns; a kind says how the table is read.

    Args:
        text_column: column of the texts.
        label_column: column of the labels; None: texts without labels.
        labels: value in the table -> name of the class; None: values are names of classes.
        others: what to do with rows whose value is not in `labels`: "refuse" the table, or
            "leave_out" those rows.
        most_per_class: the first so many rows of each class; None: all.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        text_column: str,
        label_column: str | None,
        labels: Mapping[Any, str] | None,
        others: str,
        most_per_class: int | None,
        metadata: dict[str, Any] | None,
    ):
        if others not in ("refuse", "leave_out"):
            raise DatasetError(f"others: '{others}' is neither 'refuse' nor 'leave_out'.")
        self._text_column, self._label_column = text_column, label_column
        self._labels = None if labels is None else {str(k): v for k, v in labels.items()}
        self._others, self._most_per_class = others, most_per_class
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Columns path, text and label, all text; null where there is none.

        Raises:
            DatasetError: there is no table, no such column, no row, or a value without a class.
        """
        table, name = self._table(), self._row_name()
        frame = pd.DataFrame(
            {
                "path": [f"{name}#{row}" for row in range(len(table))],
                "text": _text(table[self._text_column]),
            }
        )
        frame["label"] = pd.Series([None] * len(frame), dtype="str")
        if self._label_column is not None:
            frame["label"] = _text(table[self._label_column])
            frame = self._named(frame)
            if self._most_per_class is not None:
                frame = frame[frame.groupby("label").cumcount() < self._most_per_class]
        if frame.empty:
            raise DatasetError(f"The {self._name()} has no row to read.")
        return frame.astype("str").reset_index(drop=True)

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def _table(self) -> pd.DataFrame:
        """The table, with at least the columns of `_wanted`; its index counts rows from 0."""
        raise NotImplementedError

    def _name(self) -> str:
        """What the table is called in messages."""
        raise NotImplementedError

    def _row_name(self) -> str:
        """What stands before the number of a row in `path`."""
        raise NotImplementedError

    def _wanted(self, there: list[str]) -> list[str]:
        """The columns that are read.

        Args:
            there: columns that the table has.

        Raises:
            DatasetError: one of them is not there.
        """
        wanted = [c for c in (self._text_column, self._label_column) if c is not None]
        if missing := [column for column in wanted if column not in there]:
            raise DatasetError(
                f"The {self._name()} has no column '{missing[0]}'; it has "
                f"{', '.join(str(column) for column in there)}. Name its columns in the catalog as "
                "text_column and label_column."
            )
        return wanted

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self._labels is None:
            return frame
        known = frame["label"].isin(list(self._labels))
        if self._others == "refuse" and not (known | frame["label"].isna()).all():
            counts = frame.loc[~known, "label"].value_counts()
            found = ", ".join(f"'{value}' ({n} rows)" for value, n in counts.head(5).items())
            raise DatasetError(
                f"The {self._name()} has values in the column '{self._label_column}' without a "
                f"class: {found}. Name them in the catalog under labels (value: class), or leave "
                "them out with `others: leave_out`."
            )
        if self._others == "leave_out":
            frame = frame[known]
        return frame.assign(label=frame["label"].map(self._labels))

    def _describe(self) -> dict[str, Any]:
        return {
            "text_column": self._text_column,
            "label_column": self._label_column,
            "labels": self._labels,
            "others": self._others,
            "most_per_class": self._most_per_class,
        }


def _text(values: pd.Series) -> pd.Series:
    """Values as text without blanks around them, null where there is none."""
    text = values.astype("str").where(values.notna()).str.strip()
    return text.where(text != "").astype("str")
