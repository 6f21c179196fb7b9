"""Datasets of kedro-datasets that leave a file either whole or absent.

Options and previews are theirs. On remote file systems they save as kedro-datasets does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kedro_datasets.json
import kedro_datasets.pandas
import kedro_datasets.text

from headstart.datasets.atomic import replace_whole


class WholeFile:
    """Mixin that saves through `replace_whole`; `_write` says how the data become a file."""

    _protocol: str
    _save_args: dict[str, Any]

    def save(self, data: Any) -> None:
        """Write the file beside and rename it.

        Raises:
            DatasetError: the file cannot be written; a full disk is told with the file's name.
        """
        if self._protocol != "file":
            super().save(data)  # type: ignore[misc]
            return
        with replace_whole(Path(self._get_save_path())) as beside:  # type: ignore[attr-defined]
            self._write(data, beside)
        self._invalidate_cache()  # type: ignore[attr-defined]

    def _write(self, data: Any, path: Path) -> None:
        raise NotImplementedError


class ParquetDataset(WholeFile, kedro_datasets.pandas.ParquetDataset):
    """A table as Parquet; equal tables make equal bytes."""

    def _write(self, data: Any, path: Path) -> None:
        data.to_parquet(path, **self._save_args)


class CSVDataset(WholeFile, kedro_datasets.pandas.CSVDataset):
    """A table as text."""

    def _write(self, data: Any, path: Path) -> None:
        data.to_csv(path, **self._save_args)


class JSONDataset(WholeFile, kedro_datasets.json.JSONDataset):
    """Dictionaries, lists, numbers and text."""

    def _write(self, data: Any, path: Path) -> None:
        path.write_text(json.dumps(data, **self._save_args), encoding="utf-8")


class TextDataset(WholeFile, kedro_datasets.text.TextDataset):
    """Text of any kind, UTF-8: Markdown, HTML."""

    DEFAULT_FS_ARGS = {  # noqa: RUF012 - as in the base class
        "open_args_save": {"mode": "w", "encoding": "utf-8"},
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
    }

    def _write(self, data: str, path: Path) -> None:
        path.write_text(data, encoding="utf-8")
