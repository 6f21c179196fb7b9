"""Related tasks in three parts: to meta-train on, to choose on, and to test on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd

from headstart.learning.class_splits import SPLITS
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool, Family
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.learning.parallel_fits import MappedArray, opened, share

_NO_CLASS = -1  # of images that were set aside


class SplitTasks(Protocol):
    """Three families of tasks that have nothing in common."""

    @property
    def name(self) -> str:
        """Of the family."""
        ...

    @property
    def transductive(self) -> bool:
        """Whether it makes a difference what batch norm normalizes queries by."""
        ...

    def part(self, split: str, shots: int, queries: int) -> Family:
        """The tasks of one of `headstart.learning.class_splits.SPLITS`."""
        ...

    def examples(self, count: int) -> int:
        """How many examples of a task are `count` for each class, or points."""
        ...


@dataclass(frozen=True)
class SinusoidTasks:
    """Sinusoids; the parts differ by the seeds of their episodes.

    Attributes:
        amplitude, phase, x: see `headstart.learning.meta_learning.sinusoids.Sinusoids`.
        name: of the family.
    """

    amplitude: tuple[float, float]
    phase: tuple[float, float]
    x: tuple[float, float]
    name: str = "sinusoids"
    transductive: ClassVar[bool] = False  # the network has no batch norm

    def part(self, split: str, shots: int, queries: int) -> Sinusoids:
        """See `SplitTasks.part`."""
        return Sinusoids(shots, queries, self.amplitude, self.phase, self.x)

    def examples(self, count: int) -> int:
        """See `SplitTasks.examples`."""
        return count


@dataclass(frozen=True)
class ClassTasks:
    """Classes of which each belongs to one part.

    Attributes:
        name: of the family.
        inputs: images as they are stored, (N, H, W, C), or features (N, D).
        labels: the class of each, shape (N,); `_NO_CLASS` where it has none.
        classes: numbers of the classes in each part.
        ways: classes of a task.
    """

    name: str
    inputs: np.ndarray | MappedArray
    labels: np.ndarray
    classes: Mapping[str, np.ndarray]
    ways: int
    transductive: ClassVar[bool] = True

    @classmethod
    def of(
        cls, name: str, inputs: np.ndarray, rows: np.ndarray, examples: pd.DataFrame, ways: int
    ) -> ClassTasks:
        """The tasks of a family.

        Args:
            name: of the family.
            inputs: images or features.
            rows: where each example stands among them, shape (n,).
            examples: columns class and split, n rows.
            ways: classes of a task.
        """
        labels = np.full(len(inputs), _NO_CLASS, dtype=np.int64)
        labels[rows] = examples["class"].to_numpy()
        classes = {
            split: np.unique(examples.loc[examples["split"] == split, "class"]) for split in SPLITS
        }
        return cls(name, share(inputs), labels, classes, ways)

    def part(self, split: str, shots: int, queries: int) -> ClassEpisodes:
        """See `SplitTasks.part`.

        Raises:
            HeadstartError: as `ClassEpisodes`.
        """
        inputs = opened(self.inputs)
        if inputs.ndim == 4:
            inputs = inputs.transpose(0, 3, 1, 2)  # a view: batches are made contiguous
        pool = ClassPool(f"{self.name}, {split.replace('_', '-')}", inputs, self.labels)
        return ClassEpisodes(pool, self.classes[split], self.ways, shots, queries)

    def examples(self, count: int) -> int:
        """See `SplitTasks.examples`."""
        return self.ways * count
