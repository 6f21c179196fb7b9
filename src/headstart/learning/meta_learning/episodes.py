"""Episodes of classification: N classes, k examples of each to learn from, q to be tested on.

An episode is a pure function of (seed, index), so that it can be drawn again alone, in any order,
by any process. Classes, not examples, are split: meta-test asks about classes never seen before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.problems import CLASSIFICATION, Problem


class Episodes(NamedTuple):
    """T episodes, stacked.

    Attributes:
        support_x: what each task is learned from, shape (T, n, ...).
        support_y: classes, int64 (T, n), or numbers, float (T, n, D).
        query_x: what it is tested on, shape (T, m, ...).
        query_y: likewise.
    """

    support_x: torch.Tensor
    support_y: torch.Tensor
    query_x: torch.Tensor
    query_y: torch.Tensor


class Family(Protocol):
    """Tasks that are related, as many as one likes."""

    @property
    def problem(self) -> Problem:
        """What its tasks ask for."""
        ...

    def episodes(self, seed: int, indices: Sequence[int] | np.ndarray) -> Episodes:
        """The episodes of these numbers; each depends on seed and its own number alone."""
        ...


@dataclass(frozen=True)
class ClassPool:
    """Examples of many classes.

    Attributes:
        name: of the data, for messages.
        inputs: images (N, C, H, W), uint8 (0 to 255) or float; or features (N, D), float.
        labels: number of each example's class, integers, shape (N,).
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray

    @cached_property
    def rows(self) -> dict[int, np.ndarray]:
        """The rows of each class."""
        order = np.argsort(self.labels, kind="stable")
        classes, starts = np.unique(self.labels[order], return_index=True)
        return dict(zip(classes.tolist(), np.split(order, starts[1:]), strict=True))

    def load(self, rows: np.ndarray) -> torch.Tensor:
        """Inputs of some rows, of any shape, as float32; bytes become values in [0, 1]."""
        inputs = torch.from_numpy(np.ascontiguousarray(self.inputs[rows]))
        return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()


@dataclass(frozen=True)
class ClassEpisodes:
    """N-way k-shot episodes with q queries a class.

    Examples stand in rounds, one of each class after the other, so that any N in a row are of
    different classes.

    Args:
        pool: where examples are drawn from.
        classes: numbers of the classes that may occur.
        ways: N.
        shots: k.
        queries: q.

    Raises:
        HeadstartError: there are fewer classes than ways, or fewer examples of a class than shots
            and queries.
    """

    pool: ClassPool
    classes: np.ndarray
    ways: int
    shots: int
    queries: int
    problem: Problem = CLASSIFICATION

    def __post_init__(self) -> None:
        name = self.pool.name
        if len(self.classes) < self.ways:
            raise HeadstartError(
                f"{name}: there are {len(self.classes)} classes to draw from, fewer than the "
                f"{self.ways} ways of an episode; lower ways, or add classes."
            )
        needed = self.shots + self.queries
        counts = {int(c): len(self.pool.rows.get(int(c), ())) for c in self.classes}
        short = {c: n for c, n in counts.items() if n < needed}
        if short:
            worst = min(short, key=lambda c: short[c])
            raise HeadstartError(
                f"{name}: an episode needs {needed} examples of a class ({self.shots} shots + "
                f"{self.queries} queries); {len(short)} of {len(counts)} classes have fewer "
                f"(class {worst} has {short[worst]}). Lower shots or queries, or leave these "
                "classes out."
            )

    def rows(self, seed: int, index: int) -> np.ndarray:
        """Rows of the pool that an episode is made of, shape (k + q, N); the first k are support.

        Args:
            seed: of all episodes.
            index: of this one.
        """
        rng = np.random.default_rng([seed, index])
        classes = rng.choice(self.classes, self.ways, replace=False)
        drawn = [
            rng.choice(self.pool.rows[int(c)], self.shots + self.queries, replace=False)
            for c in classes
        ]
        return np.stack(drawn, axis=1)

    def episodes(self, seed: int, indices: Sequence[int] | np.ndarray) -> Episodes:
        """See `Family.episodes`; classes are numbered from 0 in the order that they were drawn."""
        rows = np.stack([self.rows(seed, int(i)) for i in indices])
        inputs = self.pool.load(rows)
        labels = torch.arange(self.ways).expand(rows.shape)
        support, query = inputs.split([self.shots, self.queries], dim=1)
        support_y, query_y = labels.split([self.shots, self.queries], dim=1)
        return Episodes(*(t.flatten(1, 2) for t in (support, support_y, query, query_y)))
