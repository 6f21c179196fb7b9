"""Images listed in a table of paths and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError

from headstart.datasets.raw_images import RawImagesDataset
from headstart.learning.images import Mode, RawImages

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": r"\s+"}


class ImageTableDataset(RawImagesDataset):
    """Images listed in a CSV, TSV, whitespace separated (.txt) or Parquet file.

    Values are compared as they stand in the file, as text. Without `labels` they are the names of
    the classes. With `labels` a value that is neither in it nor in `leave_out` is refused, so
    that no row is lost by a slip of the pen.

    Example:
        ```yaml
        my_parts.target:
          type: headstart.datasets.ImageTableDataset
          filepath: data/01_raw/parts.csv
          path_column: file
          label_column: verdict
          labels: {ok: sound, nok: defective}
          leave_out: [unsure]
        ```

    Args:
        filepath: the table.
        path_column: column of the images' paths (a number where the table has no header).
        label_column: column of the labels; None: images without labels.
        images_folder: what paths count from, seen from the table's folder; None: that itself.
        labels: value in the table -> name of the class.
        leave_out: values whose rows are no part of the data.
        mode: what pixels are stored as, "RGB" or "L" (gray, a third of the space).
        load_args: for `pandas.read_csv` or `pandas.read_parquet`, for instance `{sep: ";"}`.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        path_column: str | int = "path",
        label_column: str | int | None = "label",
        images_folder: str | None = None,
        labels: Mapping[Any, str] | None = None,
        leave_out: Sequence[Any] = (),
        mode: Mode = "RGB",
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath, mode, metadata)
        self._path_column = path_column
        self._label_column = label_column
        self._images_folder = self._filepath.parent / (images_folder or "")
        self._labels = {str(k): v for k, v in labels.items()} if labels is not None else None
        self._leave_out = [str(value) for value in leave_out]
        self._load_args = load_args or {}

    def load(self) -> RawImages:
        """Read the table; images are read when they are decoded.

        Raises:
            DatasetError: there is no table, no such column, no row, or a value without a class.
        """
        frame = self._frame()
        paths = [self._images_folder / path if path else None for path in frame["path"]]

        def read(row: int) -> bytes:
            path = paths[row]
            if path is None:
                raise OSError("the table has no path for it")
            return path.read_bytes()

        return RawImages(frame, read, self._mode, labelled=self._label_column is not None)

    def _frame(self) -> pd.DataFrame:
        table = self._table()
        columns = [c for c in (self._path_column, self._label_column) if c is not None]
        if missing := [c for c in columns if c not in table.columns]:
            raise DatasetError(
                f"The table of images {self._filepath} has no column '{missing[0]}'; it has "
                f"{', '.join(str(c) for c in table.columns)}. Name its columns in the catalog as "
                "path_column and label_column."
            )
        frame = pd.DataFrame({"path": _text(table[self._path_column]).fillna("")})
        frame["label"] = pd.Series([None] * len(frame), dtype="str")
        if self._label_column is not None:
            values = _text(table[self._label_column])
            frame["label"] = values if self._labels is None else self._named(values)
            frame = frame[~values.isin(self._leave_out)].reset_index(drop=True)
        if frame.empty:
            raise DatasetError(f"The table of images {self._filepath} has no row to read.")
        return frame

    def _named(self, values: pd.Series) -> pd.Series:
        assert self._labels is not None
        known = values.isna() | values.isin([*self._labels, *self._leave_out])
        if not known.all():
            counts = values[~known].value_counts()
            found = ", ".join(f"'{value}' ({n} rows)" for value, n in counts.head(5).items())
            raise DatasetError(
                f"The table of images {self._filepath} has values in the column "
                f"'{self._label_column}' without a class: {found}. Name them in the catalog, "
                "under labels (value: class) or under leave_out."
            )
        return values.map(self._labels).astype("str")

    def _table(self) -> pd.DataFrame:
        path = self._filepath
        if not path.is_file():
            raise DatasetError(f"The table of images {path} does not exist.")
        try:
            if path.suffix == ".parquet":
                return pd.read_parquet(path, **self._load_args)
            # "NA" or "null" may be the name of a class; only an empty field is a missing one.
            text = {"dtype": "str", "keep_default_na": False, "na_values": [""]}
            separator = {"sep": _SEPARATORS.get(path.suffix, ",")}
            return pd.read_csv(path, **{**text, **separator, **self._load_args})
        except (OSError, ValueError) as error:  # both libraries' errors are kinds of these
            raise DatasetError(f"The table of images {path} cannot be read: {error}") from error

    def _files(self) -> list[tuple[str, Path]]:
        paths = [path for path in self._frame()["path"] if path]
        return [
            (self._filepath.name, self._filepath),
            *((path, self._images_folder / path) for path in paths),
        ]

    def _options(self) -> dict[str, Any]:
        return {
            "path_column": self._path_column,
            "label_column": self._label_column,
            "labels": self._labels,
            "leave_out": self._leave_out,
            "mode": self._mode,
            "load_args": self._load_args,
        }


def _text(values: pd.Series) -> pd.Series:
    """Values as text without blanks around them, null where there is none."""
    text = values.astype("str").where(values.notna()).str.strip()
    return text.where(text != "").astype("str")
