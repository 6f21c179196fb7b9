"""Splits and draws: no leak, stratified, stable, and nested."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.splits import draw, draws_of, screen, split, without

SIZES = st.lists(st.integers(3, 40), min_size=2, max_size=5)  # images of each class
SHARES = st.floats(0.05, 0.9)
SEEDS = st.integers(0, 2**31)


def index(sizes: list[int]) -> pd.DataFrame:
    """Distinct images of classes a, b, c, ...; the classes' rows are mixed."""
    labels = [chr(ord("a") + c) for c, n in enumerate(sizes) for _ in range(n)]
    labels = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    names = [str(i) for i in range(len(labels))]
    return pd.DataFrame({"path": names, "label": labels, "digest": names}, dtype="str")


def splits_of(sizes: list[int], test_share: float = 0.25, seed: int = 0) -> pd.DataFrame:
    rows, _, _ = screen(index(sizes), min_per_class=3)
    return split(rows, test_share, seed).assign(target="parts")


@given(SIZES, SHARES, SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_split_has_every_row_once_and_is_stratified(
    sizes: list[int], share: float, seed: int
) -> None:
    table = splits_of(sizes, share, seed)
    assert sorted(table["row"]) == list(range(sum(sizes)))
    assert table["class"].tolist() == [ord(label) - ord("a") for label in table["label"]]
    for c, n in enumerate(sizes):
        of_class = Counter(table.loc[table["class"] == c, "split"])
        assert of_class["test"] >= 1
        assert of_class["development"] >= 2
        # Within one of the share, unless the bounds above forbid it.
        assert abs(of_class["test"] - min(max(share * n, 1), n - 2)) < 1


@given(SIZES, SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_split_depends_on_the_images_alone(sizes: list[int], seed: int, random: object) -> None:
    table = splits_of(sizes, seed=seed)
    assert table.equals(splits_of(sizes, seed=seed))
    order = list(range(sum(sizes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    renamed = index(sizes).iloc[order].reset_index(drop=True)
    renamed["path"] = "x" + renamed["path"]
    rows, _, _ = screen(renamed, min_per_class=3)
    shuffled = split(rows, 0.25, seed)
    by_image = shuffled.set_index("digest")["split"]
    assert by_image.sort_index().equals(table.set_index("digest")["split"].sort_index())


def test_another_seed_draws_another_test_set() -> None:
    first, second = splits_of([40, 40], seed=0), splits_of([40, 40], seed=1)
    assert (first["split"] != second["split"]).sum() > 10


def test_one_more_image_moves_at_most_one_other() -> None:
    before = splits_of([40, 40]).set_index("digest")["split"]
    new = pd.DataFrame({"path": ["new"], "label": ["a"], "digest": ["new"]}, dtype="str")
    rows, _, _ = screen(pd.concat([index([40, 40]), new], ignore_index=True), 3)
    after = split(rows, 0.25, 0).set_index("digest")["split"]
    assert (after[before.index] != before).sum() <= 1


@given(SIZES, st.floats(0.05, 0.95), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_draws_do_not_leak_and_are_nested(
    sizes: list[int], validation_share: float, seeds: int, split_seed: int
) -> None:
    splits = splits_of(sizes, seed=split_seed)
    development = splits[splits["split"] == "development"]
    label = splits.set_index("row")["class"]
    pools = development["class"].value_counts().sort_index().to_numpy()
    validation = np.clip(np.floor(validation_share * pools + 0.5), 1, pools - 1).astype(int)
    most = int((pools - validation).min())
    shots: list[int | None] = [*sorted({1, max(1, most // 2), most}), None]
    table = draw(splits, shots, seeds, validation_share)
    assert not table.duplicated().any()
    draws = list(draws_of(table))
    assert [(d.shots, d.seed) for d in draws] == [(k, s) for k in shots for s in range(seeds)]
    whole = set(development["row"])
    for d in draws:
        train, chosen_on = set(d.train), set(d.validation)
        assert not train & chosen_on
        assert train | chosen_on <= whole
        per_class = label[d.train].value_counts().sort_index().to_numpy()
        per_class_validation = label[d.validation].value_counts().sort_index().to_numpy()
        if d.shots is None:
            assert train | chosen_on == whole
            assert (per_class_validation == validation).all()
        else:
            assert (per_class == d.shots).all()
            assert (per_class_validation == np.minimum(validation, d.shots)).all()
    for fewer, more in zip(draws, draws[seeds:], strict=False):
        assert fewer.seed == more.seed
        assert set(fewer.train) <= set(more.train)
        assert set(fewer.validation) <= set(more.validation)


def test_draws_are_stable_and_do_not_depend_on_their_number() -> None:
    splits = splits_of([30, 20])
    table = draw(splits, [1, 5, None], 4, 0.2)
    assert table.equals(draw(splits, [1, 5, None], 4, 0.2))
    fewer = draw(splits, [5], 2, 0.2).reset_index(drop=True)
    same = table[(table["shots"] == 5) & (table["seed"] < 2)].reset_index(drop=True)
    assert fewer.equals(same)
    assert [d.seed for d in draws_of(table, seeds=1)] == [0, 0, 0]
    assert not np.array_equal(*[d.train for d in draws_of(draw(splits, [5], 2, 0.2))])


def test_draws_survive_a_parquet_file(tmp_path: object) -> None:
    table = draw(splits_of([30, 20]), [1, None], 2, 0.2)
    table.to_parquet(f"{tmp_path}/draws.parquet")
    read = pd.read_parquet(f"{tmp_path}/draws.parquet")
    assert read.equals(table)
    assert table["shots"].dtype == "Int64"


def test_more_shots_than_labels_are_refused_with_what_would_do() -> None:
    splits = splits_of([40, 8])  # class b: 2 test, 6 development, of these 1 validation, 5 train
    draw(splits, [5], 1, 0.2)
    with pytest.raises(HeadstartError) as error:
        draw(splits, [1, 6, None], 1, 0.2)
    message = str(error.value)
    assert message.startswith("parts: 6 shots are asked for, but the class 'b' has 5 labels")
    assert "at most 5" in message
    assert "draws.shots_of.parts" in message


def frame(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "label", "digest"], dtype="str")


def test_duplicates_are_kept_once_and_contradictions_not_at_all() -> None:
    good = [(f"{label}{i}", label, f"{label}{i}") for label in "ab" for i in range(3)]
    rows, aside, duplicates = screen(
        frame([*good, ("a0 again", "a", "a0"), ("x", "a", "same"), ("y", "b", "same")]), 3
    )
    assert rows["path"].tolist() == [path for path, _, _ in good]
    assert rows["row"].tolist() == list(range(6))
    assert duplicates == 1
    assert aside["path"].tolist() == ["x", "y"]
    assert set(aside["reason"]) == {"same content with different labels (a, b)"}


def test_a_class_with_too_few_examples_is_set_aside() -> None:
    # Class b has three files, but two of them are the same picture.
    rows, aside, _ = screen(
        frame(
            [
                *[(f"a{i}", "a", f"a{i}") for i in range(3)],
                *[("b0", "b", "b0"), ("b1", "b", "b1"), ("b2", "b", "b1")],
            ]
        ),
        3,
    )
    assert set(rows["label"]) == {"a"}
    assert aside["path"].tolist() == ["b0", "b1"]
    assert set(aside["reason"]) == {"class has too few examples (2, needs 3)"}


def test_nothing_usable() -> None:
    rows, aside, duplicates = screen(frame([]), 3)
    assert (len(rows), len(aside), duplicates) == (0, 0, 0)


def test_test_images_leave_the_source() -> None:
    source = frame([("0", "", "p"), ("1", "", "q"), ("2", "", "p"), ("3", "", "r")])
    assert without(source, {"p"}).tolist() == [1, 3]
    assert without(source, set()).tolist() == [0, 1, 2, 3]
