"""Which images are learned from and which are tested on: splits, duplicates and draws of labels.

Test data decides nothing: the test rows of a target are fixed once; what varies with the seed is
which of the remaining, the development rows, are drawn for training and for validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError

Shots = int | None  # labels per class; None: all there are


@dataclass(frozen=True)
class Draw:
    """The labels that one fit may see.

    Attributes:
        shots: labels per class; None: all.
        seed: of the draw.
        train: rows to learn from.
        validation: rows to choose hyper-parameters on.
    """

    shots: Shots
    seed: int
    train: np.ndarray
    validation: np.ndarray


def screen(index: pd.DataFrame, min_per_class: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Take out what must not stand in a labeled data set twice, or too rarely.

    Exact duplicates (equal pixels) with the same label are kept once. With different labels
    nobody knows which is right: all of them are set aside. So are classes with too few examples.

    Args:
        index: columns path, label, digest; its row numbers are kept in `row`.
        min_per_class: fewest examples a class needs.

    Returns:
        The good rows (row, path, label, digest), those set aside (path, reason), and how many
        duplicates were removed.
    """
    rows = index.reset_index(drop=True).rename_axis("row").reset_index()
    ambiguous = rows.groupby("digest")["label"].transform("nunique") > 1
    doubtful = rows[ambiguous]
    names = doubtful.groupby("digest")["label"].transform(lambda g: ", ".join(sorted(set(g))))
    contradicting = pd.DataFrame(
        {
            "path": doubtful["path"],
            "reason": [f"same content with different labels ({n})" for n in names],
        }
    )
    rows = rows[~ambiguous]
    repeated = rows["digest"].duplicated()
    rows = rows[~repeated]
    counts = rows["label"].map(rows["label"].value_counts())
    rare = counts < min_per_class
    too_few = pd.DataFrame(
        {
            "path": rows.loc[rare, "path"],
            "reason": [
                f"class has too few examples ({n}, needs {min_per_class})" for n in counts[rare]
            ],
        }
    )
    aside = pd.concat([contradicting, too_few], ignore_index=True).astype("str")
    return rows[~rare].reset_index(drop=True), aside, int(repeated.sum())


def split(rows: pd.DataFrame, test_share: float, seed: int) -> pd.DataFrame:
    """Set the test rows apart, class by class.

    Rows are ranked by a hash of seed and pixels, and the first of each class are the test rows:
    whatever the images are called and whatever order they come in, the same ones are drawn, and
    one image more or less moves no more than one other.

    Args:
        rows: columns row, path, label, digest (no digest twice); at least three rows a class.
        test_share: share of each class, rounded, at least one row and at most all but two.
        seed: draws them.

    Returns:
        The rows with `class` (position of the label among the sorted labels) and `split`
        ("development" or "test").
    """
    classes = {label: i for i, label in enumerate(sorted(rows["label"].unique()))}
    table = rows.assign(**{"class": rows["label"].map(classes).astype("int64")})
    keys = [hashlib.sha256(f"{seed} {digest}".encode()).hexdigest() for digest in table["digest"]]
    rank = pd.Series(keys, index=table.index).groupby(table["class"]).rank().astype("int64")
    sizes = table["class"].value_counts().to_dict()
    counts = {c: min(max(1, round_half_up(test_share * n)), n - 2) for c, n in sizes.items()}
    test = rank <= table["class"].map(counts)
    return table.assign(split=test.map({True: "test", False: "development"}).astype("str"))


def draw(
    splits: pd.DataFrame, shots: Sequence[Shots], seeds: int, validation_share: float
) -> pd.DataFrame:
    """Draw the labels of every fit.

    The development rows of each class are permuted by the seed; the first of them, the
    validation share, are that seed's validation pool, the rest its training pool. `k` shots are
    the first k of the training pool, so smaller draws are parts of larger ones, and the first k
    of the validation pool: who has k labels for training would not have a thousand to choose
    hyper-parameters on (Perez et al. 2021; a validation set as large as the training set: Gao et
    al. 2021). All labels are both pools whole.

    Args:
        splits: as `split` returns them.
        shots: labels per class, or None for all.
        seeds: number of seeds, 0 to seeds - 1.
        validation_share: share of the development rows of a class, rounded, at least one row
            and at most all but one.

    Returns:
        Columns shots (null: all), seed, role ("train" or "validation"), row.

    Raises:
        HeadstartError: a class has fewer labels for training than the shots ask for.
    """
    development = splits[splits["split"] == "development"]
    tables = []
    for seed in range(seeds):
        pools: list[tuple[np.ndarray, np.ndarray]] = []
        for c in range(development["class"].max() + 1):
            members = development.loc[development["class"] == c, "row"].to_numpy()
            rows = np.random.default_rng([seed, c]).permutation(members)
            count = min(max(1, round_half_up(validation_share * len(rows))), len(rows) - 1)
            pools.append((rows[count:], rows[:count]))
        if seed == 0:
            _refuse_too_many_shots(development, pools, shots)
        for k in shots:
            for role, part in (("train", 0), ("validation", 1)):
                rows = np.concatenate([pool[part][:k] for pool in pools])
                table = pd.DataFrame({"row": np.sort(rows)})
                table.insert(0, "role", role)
                table.insert(0, "seed", seed)
                table.insert(0, "shots", pd.Series([k] * len(table), dtype="Int64"))
                tables.append(table)
    return pd.concat(tables, ignore_index=True).astype({"role": "str"})


def draws_of(table: pd.DataFrame, seeds: int | None = None) -> Iterator[Draw]:
    """The draws in a table, fewest shots first.

    Args:
        table: as `draw` returns it.
        seeds: only the first so many seeds; None: all.
    """
    if seeds is not None:
        table = table[table["seed"] < seeds]
    order = table["shots"].fillna(np.iinfo("int64").max).astype("int64")
    for k in np.unique(order):
        for seed in np.unique(table["seed"]):
            part = table[(order == k) & (table["seed"] == seed)]
            train, validation = (
                part.loc[part["role"] == role, "row"].to_numpy() for role in ("train", "validation")
            )
            shots = part["shots"].iloc[0]
            yield Draw(None if pd.isna(shots) else int(shots), int(seed), train, validation)


def classes_and_test(splits: pd.DataFrame, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What a method needs to know of the splits.

    Args:
        splits: as `split` returns them.
        size: number of rows N of the target's store.

    Returns:
        The class of each row, int64, shape (N,), -1 where a row is no part of the splits; and the
        test rows.
    """
    classes = np.full(size, -1, dtype=np.int64)
    classes[splits["row"].to_numpy()] = splits["class"].to_numpy()
    return classes, splits.loc[splits["split"] == "test", "row"].to_numpy()


def without(index: pd.DataFrame, test_digests: set[str]) -> np.ndarray:
    """Row numbers of a source without the images that stand in the target's test split."""
    return np.flatnonzero(~index["digest"].isin(test_digests).to_numpy())


def _refuse_too_many_shots(
    development: pd.DataFrame, pools: list[tuple[np.ndarray, np.ndarray]], shots: Sequence[Shots]
) -> None:
    available = [len(train) for train, _ in pools]
    smallest = int(np.argmin(available))
    largest_asked = max((k for k in shots if k is not None), default=0)
    if largest_asked > available[smallest]:
        label = development.loc[development["class"] == smallest, "label"].iloc[0]
        target = development["target"].iloc[0]
        raise HeadstartError(
            f"{target}: {largest_asked} shots are asked for, but the class '{label}' has "
            f"{available[smallest]} labels for training (the rest are test and validation data). "
            f"Ask for at most {available[smallest]} in `draws.shots`, or in "
            f"`draws.shots_of.{target}` for this target alone; `all` always works."
        )


def round_half_up(x: float) -> int:
    """The nearest whole number, halves up; Python's own rounding goes to the even one."""
    return int(np.floor(x + 0.5))
