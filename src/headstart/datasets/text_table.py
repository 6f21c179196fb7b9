"""Texts listed in a table: CSV, TSV, Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


class TextTableDataset(AbstractDataset[Any, pd.DataFrame]):
    """Texts, and their labels, in the columns of a table.

    A text is called by the table's file name and its row, `parts.csv#17`, rows counted from 0.

    Example:
        ```yaml
        my_tickets.target:
          type: headstart.datasets.TextTableDataset
          filepath: data/01_raw/tickets.csv
          text_column: body
          label_column: queue
        ```

    Args:
        filepath: the table: .csv, .tsv, .tab, .parquet, or .jsonl (one JSON object a line).
        text_column: column of the texts.
        label_column: column of the labels; None: texts without labels.
        labels: value in the table -> name of the class; None: values are names of classes.
        others: what to do with rows whose value is not in `labels`: "refuse" the table, or
            "leave_out" those rows.
        most_per_class: the first so many rows of each class; None: all.
        load_args: for `pandas.read_csv`, `read_parquet` or `read_json`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        text_column: str = "text",
        label_column: str | None = "label",
        labels: Mapping[Any, str] | None = None,
        others: str = "refuse",
        most_per_class: int | None = None,
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        if others not in ("refuse", "leave_out"):
            raise DatasetError(f"others: '{others}' is neither 'refuse' nor 'leave_out'.")
        self._filepath = Path(filepath)
        self._text_column, self._label_column = text_column, label_column
        self._labels = None if labels is None else {str(k): v for k, v in labels.items()}
        self._others, self._most_per_class = others, most_per_class
        self._load_args = load_args or {}
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Columns path, text and label, all text; null where there is none.

        Raises:
            DatasetError: there is no table, no such column, no row, or a value without a class.
        """
        table = self._table()
        wanted: Sequence[str] = [
            c for c in (self._text_column, self._label_column) if c is not None
        ]
        if missing := [c for c in wanted if c not in table.columns]:
            raise DatasetError(
                f"The table of texts {self._filepath} has no column '{missing[0]}'; it has "
                f"{', '.join(str(c) for c in table.columns)}. Name its columns in the catalog as "
                "text_column and label_column."
            )
        names = [f"{self._filepath.name}#{row}" for row in range(len(table))]
        frame = pd.DataFrame({"path": names, "text": _text(table[self._text_column])})
        frame["label"] = pd.Series([None] * len(frame), dtype="str")
        if self._label_column is not None:
            frame["label"] = _text(table[self._label_column])
            frame = self._named(frame)
            if self._most_per_class is not None:
                frame = frame[frame.groupby("label").cumcount() < self._most_per_class]
        if frame.empty:
            raise DatasetError(f"The table of texts {self._filepath} has no row to read.")
        return frame.astype("str").reset_index(drop=True)

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def fingerprint(self) -> str:
        """Equal when the same texts are loaded."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        options = {k: v for k, v in self._describe().items() if k != "filepath"}
        return value_fingerprint([options, path_fingerprint(self._filepath)])

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self._labels is None:
            return frame
        known = frame["label"].isin(list(self._labels))
        if self._others == "refuse" and not (known | frame["label"].isna()).all():
            counts = frame.loc[~known, "label"].value_counts()
            found = ", ".join(f"'{value}' ({n} rows)" for value, n in counts.head(5).items())
            raise DatasetError(
                f"The table of texts {self._filepath} has values in the column "
                f"'{self._label_column}' without a class: {found}. Name them in the catalog under "
                "labels (value: class), or leave them out with `others: leave_out`."
            )
        if self._others == "leave_out":
            frame = frame[known]
        return frame.assign(label=frame["label"].map(self._labels))

    def _table(self) -> pd.DataFrame:
        path = self._filepath
        if not path.is_file():
            raise DatasetError(f"The table of texts {path} does not exist.")
        try:
            if path.suffix == ".parquet":
                return pd.read_parquet(path, **self._load_args)
            if path.suffix in (".jsonl", ".ndjson"):
                return pd.read_json(path, lines=True, **{"dtype": False, **self._load_args})
            # "NA" or "null" may be the name of a class; only an empty field is a missing one.
            text = {"dtype": "str", "keep_default_na": False, "na_values": [""]}
            separator = {"sep": _SEPARATORS.get(path.suffix, ",")}
            return pd.read_csv(path, **{**text, **separator, **self._load_args})
        except (OSError, ValueError) as error:  # the libraries' errors are kinds of these
            raise DatasetError(f"The table of texts {path} cannot be read: {error}") from error

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "text_column": self._text_column,
            "label_column": self._label_column,
            "labels": self._labels,
            "others": self._others,
            "most_per_class": self._most_per_class,
            "load_args": self._load_args,
        }


def _text(values: pd.Series) -> pd.Series:
    """Values as text without blanks around them, null where there is none."""
    text = values.astype("str").where(values.notna()).str.strip()
    return text.where(text != "").astype("str")
