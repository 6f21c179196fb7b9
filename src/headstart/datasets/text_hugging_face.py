"""Texts of a Hugging Face data set: a folder that `save_to_disk` wrote, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DatasetError

from headstart.datasets.text_columns import TextColumnsDataset


class HuggingFaceTextDataset(TextColumnsDataset):
    """Texts, and their labels, in the columns of a data set of the library `datasets`.

    Where the labels are numbers with names (`ClassLabel`), these names are the classes. A text is
    called by folder or hub name, split and row, `imdb/train#17`, rows counted from 0.

    Example:
        ```yaml
        my_reviews.target:
          type: headstart.datasets.HuggingFaceTextDataset
          filepath: data/01_raw/my_reviews # of save_to_disk
        news.target:
          type: headstart.datasets.HuggingFaceTextDataset
          hub: fancyzhx/ag_news # is downloaded
          split: train
        ```

    Args:
        filepath: a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote.
        hub: instead of a path, the data set's name on the Hugging Face hub.
        name: of one of its configurations, where it has several (hub).
        revision: a branch, tag or commit (hub); None: the newest.
        split: which part; of a folder without splits all is read.
        text_column: column of the texts.
        label_column: column of the labels; None: texts without labels.
        labels: value of the label (its name, where it has one) -> name of the class; None: values
            are names of classes.
        others: what to do with rows whose value is not in `labels`: "refuse" the data set, or
            "leave_out" those rows.
        most_per_class: the first so many rows of each class; None: all.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str | None = None,
        hub: str | None = None,
        name: str | None = None,
        revision: str | None = None,
        split: str = "train",
        text_column: str = "text",
        label_column: str | None = "label",
        labels: Mapping[Any, str] | None = None,
        others: str = "refuse",
        most_per_class: int | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        if (filepath is None) == (hub is None):
            raise DatasetError("A Hugging Face data set needs either a `filepath` or a `hub` name.")
        super().__init__(
            text_column=text_column,
            label_column=label_column,
            labels=labels,
            others=others,
            most_per_class=most_per_class,
            metadata=metadata,
        )
        self._filepath = None if filepath is None else Path(filepath)
        self._hub, self._config, self._revision, self._split = hub, name, revision, split

    def fingerprint(self) -> str:
        """Equal when the same texts are loaded; a data set on the hub counts by its name."""
        from headstart.fingerprint import path_fingerprint, value_fingerprint

        options = {k: v for k, v in self._describe().items() if k != "filepath"}
        files = None if self._filepath is None else path_fingerprint(self._filepath)
        return value_fingerprint([options, files])

    def _table(self) -> pd.DataFrame:
        data = self._open()
        wanted = self._wanted(data.column_names)
        table = data.select_columns(wanted).with_format(None).to_pandas()
        for column in wanted:
            feature = data.features[column]
            if hasattr(feature, "int2str"):  # ClassLabel, where -1 means that there is none
                names = dict(enumerate(feature.names))
                table[column] = table[column].map(names)
            elif not hasattr(feature, "dtype"):
                raise DatasetError(
                    f"The {self._name()} has in the column '{column}' {type(feature).__name__}, "
                    "where one text or label a row is needed."
                )
        return table

    def _open(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise DatasetError(
                f"The {self._name()} needs the package `datasets`, which is not installed: "
                "`uv sync --extra huggingface`, or `pip install datasets`."
            ) from error
        path = self._filepath
        if path is not None and not path.is_dir():
            raise DatasetError(f"The {self._name()} does not exist.")
        try:
            found = (
                datasets.load_dataset(
                    self._hub, self._config, split=self._split, revision=self._revision
                )
                if path is None
                else datasets.load_from_disk(str(path))
            )
        except MemoryError:
            raise
        except Exception as error:
            # Missing files, a damaged one or no network end in many kinds of errors.
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise DatasetError(f"The {self._name()} cannot be read: {first}") from error
        if isinstance(found, datasets.DatasetDict):
            if self._split not in found:
                raise DatasetError(
                    f"The {self._name()} has no split '{self._split}'; it has "
                    f"{', '.join(found)}. Name one in the catalog as split."
                )
            return found[self._split]
        return found

    def _name(self) -> str:
        return f"Hugging Face data set {self._filepath or self._hub}"

    def _row_name(self) -> str:
        name = self._hub if self._filepath is None else self._filepath.name
        return f"{name}/{self._split}"

    def _exists(self) -> bool:
        return self._filepath is None or self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        options = {"filepath": self._filepath, "hub": self._hub, "name": self._config}
        options |= {"revision": self._revision, "split": self._split}
        return {**options, **super()._describe()}
