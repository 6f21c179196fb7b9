"""A folder of text files: one sub-folder a class, or any text files at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError


class TextFolderDataset(AbstractDataset[Any, pd.DataFrame]):
    """UTF-8 text files below a folder, one text a file.

    With labels, the first folder below `filepath` names the class. A file that is no UTF-8 stays
    a row without a text, to be set aside.

    Example:
        ```yaml
        my_letters.target:
          type: headstart.datasets.TextFolderDataset
          filepath: data/01_raw/my_letters # my_letters/<class>/*.txt
        ```

    Args:
        filepath: the folder.
        labelled: whether the sub-folders are classes.
        pattern: which file names count.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        labelled: bool = True,
        pattern: str = "*.txt",
        metadata: dict[str, Any] | None = None,
    ):
        self._filepath = Path(filepath)
        self._labelled, self._pattern = labelled, pattern
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Columns path, text and label, all text; null where there is none.

        Raises:
            DatasetError: there is no folder, or no text in it.
        """
        root = self._filepath
        if not root.is_dir():
            what = "one sub-folder of .txt files per class" if self._labelled else "your texts"
            raise DatasetError(
                f"The folder of texts {root} does not exist. Create it with {what} in it, or say "
                "in the catalog (conf/local/catalog.yml) where the texts are."
            )
        paths = sorted(p.relative_to(root).as_posix() for p in root.rglob(self._pattern))
        if self._labelled and not any("/" in path for path in paths):
            raise DatasetError(
                f"The folder of texts {root} has no sub-folder with files that fit the pattern "
                f"{self._pattern}; labeled texts stand in one sub-folder per class. (Texts "
                "without labels: `labelled: false`.)"
            )
        if not paths:
            raise DatasetError(f"The folder of texts {root} holds no {self._pattern}.")
        labels = [p.split("/")[0] if self._labelled and "/" in p else None for p in paths]
        texts = [_read(root / path) for path in paths]
        return pd.DataFrame({"path": paths, "text": texts, "label": labels}, dtype="str")

    def save(self, data: Any) -> None:
        """Always refused: raw data are not written.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{type(self).__name__} can only be read.")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        options = {"labelled": self._labelled, "pattern": self._pattern}
        return {"filepath": self._filepath, **options}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
