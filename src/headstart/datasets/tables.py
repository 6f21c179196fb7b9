"""Reading a table, whatever kind of file it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PACKED = (".gz", ".bz2", ".xz", ".zst")


def read_table(path: Path, what: str, load_args: dict[str, Any]) -> pd.DataFrame:
    """A table with the types that its columns have, or seem to have in a file of text.

    Args:
        path: .csv, .tsv or .tab, packed (`.csv.gz`) or not; .parquet; .jsonl or .ndjson (one
            object a line). In files of text an empty field, NA, NaN, null and their like are
            missing values.
        what: the table is called in messages, for instance "table of texts".
        load_args: for `pandas.read_csv`, `read_parquet` or `read_json`.

    Raises:
        DatasetError: there is no such file, or it cannot be read as a table.
    """
    if not path.is_file():
        raise DatasetError(f"The {what} {path} does not exist.")
    suffixes = [suffix for suffix in path.suffixes if suffix not in _PACKED]
    suffix = suffixes[-1] if suffixes else ""
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path, **load_args)
        if suffix in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True, **{"dtype": False, **load_args})
        if suffix in _SEPARATORS:
            text = {"sep": _SEPARATORS[suffix], "low_memory": False}
            return pd.read_csv(path, **{**text, **load_args})
    except (OSError, ValueError, EOFError) as error:  # the libraries' errors are kinds of these
        raise DatasetError(f"The {what} {path} cannot be read: {error}") from error
    raise DatasetError(
        f"The {what} {path} is of a kind that is not known; known are "
        f"{', '.join([*_SEPARATORS, '.parquet', '.jsonl'])}, and with `table: {{type: ...}}` "
        "whatever Kedro has a dataset for."
    )
