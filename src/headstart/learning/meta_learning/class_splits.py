"""Classes split for meta-learning: some to meta-train on, some to choose on, some to test on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.errors import HeadstartError


@dataclass(frozen=True)
class ClassSplit:
    """Class numbers; none is in two of them.

    Attributes:
        meta_train: classes to learn to learn on.
        meta_validation: classes that choices are made on.
        meta_test: classes that scores are of.
    """

    meta_train: np.ndarray
    meta_validation: np.ndarray
    meta_test: np.ndarray


def split_classes(
    classes: np.ndarray,
    *,
    validation: float,
    test: float,
    seed: int,
    groups: np.ndarray | None = None,
    name: str = "classes",
) -> ClassSplit:
    """Split classes at random.

    Args:
        classes: class numbers, shape (C,), each once.
        validation: share of the classes (of the groups, where there are any) for meta-validation.
        test: share for meta-test.
        seed: of the draw.
        groups: what each class belongs to (a script, a person's family), shape (C,): groups stay
            whole. None: each class on its own.
        name: of the data, for messages.

    Raises:
        HeadstartError: one of the three would be empty.
    """
    groups = np.asarray(classes) if groups is None else np.asarray(groups)
    names = np.unique(groups)
    counts = [max(1, round(share * len(names))) for share in (validation, test)]
    if len(names) - sum(counts) < 1:
        raise HeadstartError(
            f"{name}: {len(names)} classes or groups of classes cannot be split into meta-train, "
            f"meta-validation ({counts[0]}) and meta-test ({counts[1]}); at least 3 are needed, "
            "or smaller shares."
        )
    order = np.random.default_rng(seed).permutation(names)
    parts = np.split(order, [counts[0], sum(counts)])
    held, tested, trained = (np.sort(classes[np.isin(groups, part)]) for part in parts)
    return ClassSplit(meta_train=trained, meta_validation=held, meta_test=tested)
