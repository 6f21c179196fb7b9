"""Rows to predict: a table as it stands in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from headstart.datasets.tables import read_table


class NewRowsDataset(AbstractDataset[Any, pd.DataFrame]):
    """A table whose columns the model that predicts from it tells apart.

    Args:
        filepath: the table: .csv, .tsv, .tab (packed or not), .parquet, or .jsonl.
        load_args: for `pandas.read_csv`, `read_parquet` or `read_json`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._filepath = Path(filepath)
        self._load_args = load_args or {}
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the table.

        Raises:
            DatasetError: there is no table, or it cannot be read.
        """
        return read_table(self._filepath, "table of rows to predict", self._load_args)

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "load_args": self._load_args}
