"""Word vectors: a matrix and the words that its rows belong to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from headstart.learning.text.word_vectors import WordVectors


class WordVectorsDataset(AbstractDataset["WordVectors", "WordVectors"]):
    """Word vectors in a folder: a matrix in a .npy file and a Parquet table of the words.

    Args:
        filepath: the folder.
        matrix: file name of the matrix, float (V, D).
        words: file name of the table.
        word_column: its column of words; None: its index.
        row_column: its column of the matrix's rows; None: the table's own order.
        metadata: ignored here, for plugins.
    """

    def __init__(
        self,
        *,
        filepath: str,
        matrix: str,
        words: str,
        word_column: str | None = None,
        row_column: str | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._filepath = Path(filepath)
        self._matrix, self._words = matrix, words
        self._word_column, self._row_column = word_column, row_column
        self.metadata = metadata

    def load(self) -> WordVectors:
        """Read the words; the matrix is memory-mapped.

        Raises:
            DatasetError: a file is missing or damaged, or the two do not go together.
        """
        import numpy as np
        import pandas as pd

        from headstart.learning.text.word_vectors import WordVectors

        try:
            matrix = np.load(self._filepath / self._matrix, mmap_mode="r", allow_pickle=False)
            table = pd.read_parquet(self._filepath / self._words)
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"The word vectors in {self._filepath} cannot be read: {error}"
            ) from error
        words = table.index if self._word_column is None else table[self._word_column]
        rows = range(len(table)) if self._row_column is None else table[self._row_column]
        positions = dict(zip(words.astype("str"), map(int, rows), strict=True))
        if len(positions) and max(positions.values()) >= len(matrix):
            raise DatasetError(
                f"The word vectors in {self._filepath} do not go together: {self._words} names row "
                f"{max(positions.values())}, but {self._matrix} has {len(matrix)} rows."
            )
        return WordVectors(positions, matrix)

    def save(self, data: Any) -> None:
        """Always refused: word vectors are read only."""
        raise DatasetError(f"The word vectors in {self._filepath} can only be read.")

    def _exists(self) -> bool:
        return (self._filepath / self._matrix).is_file()

    def _describe(self) -> dict[str, Any]:
        options = {"matrix": self._matrix, "words": self._words}
        columns = {"word_column": self._word_column, "row_column": self._row_column}
        return {"filepath": self._filepath, **options, **columns}
