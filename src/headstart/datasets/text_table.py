"""Texts listed in a table: CSV, TSV, Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError

from headstart.datasets.text_columns import TextColumnsDataset

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


class TextTableDataset(TextColumnsDataset):
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
        super().__init__(
            text_column=text_column,
            label_column=label_column,
            labels=labels,
            others=others,
            most_per_class=most_per_class,
            metadata=metadata,
        )
        self._filepath = Path(filepath)
        self._load_args = load_args or {}

    def fingerprint(self) -> str:
        """Equal when the same texts are loaded."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        options = {k: v for k, v in self._describe().items() if k != "filepath"}
        return value_fingerprint([options, path_fingerprint(self._filepath)])

    def _table(self) -> pd.DataFrame:
        table = self._read()
        self._wanted(list(table.columns))
        return table

    def _read(self) -> pd.DataFrame:
        path = self._filepath
        if not path.is_file():
            raise DatasetError(f"The {self._name()} does not exist.")
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
            raise DatasetError(f"The {self._name()} cannot be read: {error}") from error

    def _name(self) -> str:
        return f"table of texts {self._filepath}"

    def _row_name(self) -> str:
        return self._filepath.name

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        options = {"filepath": self._filepath, **super()._describe()}
        return {**options, "load_args": self._load_args}
