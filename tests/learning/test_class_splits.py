"""Classes, not examples, are split: whole groups, close to the shares, hardly moved by one more."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.class_splits import (
    SPLITS,
    class_table,
    refuse_few_classes,
    split_classes,
)

SHARES = {"meta_validation": 0.15, "meta_test": 0.25}
units = st.lists(st.sampled_from([f"script {i}" for i in range(12)]), min_size=1, max_size=80)
shares = st.fixed_dictionaries(
    {"meta_validation": st.floats(0.05, 0.45), "meta_test": st.floats(0.05, 0.45)}
)


def of_unit(names: list[str], splits: list[str]) -> dict[str, str]:
    return dict(zip(names, splits, strict=True))


@given(names=units, shares=shares, seed=st.integers(0, 9))
def test_units_stay_whole_and_shares_are_kept_as_far_as_that_allows(names, shares, seed):
    splits = split_classes(names, shares, seed)
    assert len(splits) == len(names)
    assert set(splits) <= set(SPLITS)
    assert len(set(zip(names, splits, strict=True))) == len(set(names))
    # The border of a split runs through a unit, which falls to the side that has more of it.
    largest = max(Counter(names).values())
    assert abs(splits.count("meta_test") - shares["meta_test"] * len(names)) <= largest / 2 + 1e-6
    trained = 1 - sum(shares.values())
    assert abs(splits.count("meta_train") - trained * len(names)) <= largest / 2 + 1e-6


@given(names=units, shares=shares, seed=st.integers(0, 9), new=st.sampled_from(["script 3", "new"]))
def test_one_class_more_moves_at_most_one_unit_at_each_border(names, shares, seed, new):
    before = of_unit(names, split_classes(names, shares, seed))
    after = of_unit([*names, new], split_classes([*names, new], shares, seed))
    moved = [unit for unit in before if after[unit] != before[unit]]
    assert len(moved) <= 2


@given(names=units, shares=shares, seed=st.integers(0, 9), data=st.data())
def test_the_order_of_the_classes_does_not_matter(names, shares, seed, data):
    shuffled = data.draw(st.permutations(names))
    assert of_unit(names, split_classes(names, shares, seed)) == of_unit(
        shuffled, split_classes(shuffled, shares, seed)
    )


def test_the_published_numbers_of_characters():
    # Omniglot, 1,623 characters: 1,100 to learn on, 100 to choose on, 423 to test on.
    published = {"meta_validation": 100 / 1623, "meta_test": 423 / 1623}
    splits = split_classes([f"character {i}" for i in range(1623)], published, seed=0)
    assert Counter(splits) == {"meta_train": 1100, "meta_validation": 100, "meta_test": 423}


def test_another_seed_tests_on_other_classes():
    names = [str(i) for i in range(40)]
    assert split_classes(names, SHARES, 0) != split_classes(names, SHARES, 1)


def table(names: list[str], **options: bool) -> pd.DataFrame:
    usual = {"turned": False, "whole_groups": True}
    return class_table(pd.Series(names, dtype="str"), **{**usual, **options})


def test_a_slash_parts_group_and_class():
    found = table(["greek/beta", "greek/alpha", "thai/ko kai", "greek/alpha"])
    assert found["class"].tolist() == [0, 1, 2]
    assert found["label"].tolist() == ["greek/alpha", "greek/beta", "thai/ko kai"]
    assert found["examples"].tolist() == [2, 1, 1]
    assert found["group"].tolist() == found["unit"].tolist() == ["greek", "greek", "thai"]
    apart = table(["greek/beta", "greek/alpha"], whole_groups=False)
    assert apart["unit"].tolist() == ["greek/alpha", "greek/beta"]
    assert apart["group"].tolist() == ["greek", "greek"]


def test_classes_without_groups_are_units_of_their_own():
    found = table(["s1", "s2", "s1@90"])
    assert found["group"].isna().all()
    assert found["unit"].tolist() == ["s1", "s1@90", "s2"]


@pytest.mark.parametrize("groups", [True, False])
def test_a_class_stays_with_what_it_is_when_turned(groups):
    names = [f"greek/{c}{turn}" for c in "abcdefgh" for turn in ("", "@90", "@180", "@270")]
    found = table(names, turned=True, whole_groups=groups)
    assert set(found["unit"]) == ({"greek"} if groups else {f"greek/{c}" for c in "abcdefgh"})


def test_too_few_classes_are_refused_with_the_numbers():
    classes = pd.DataFrame({"label": list("abcdefg"), "unit": list("abcdefg")})
    classes["split"] = ["meta_train"] * 5 + ["meta_validation"] + ["meta_test"]
    refuse_few_classes("letters", classes, 1, "few_shot_ingestion")
    with pytest.raises(HeadstartError) as error:
        refuse_few_classes("letters", classes, 5, "few_shot_ingestion")
    message = str(error.value)
    assert message.startswith("letters: 7 classes were found, which makes 5 for meta_train, 1 for")
    assert "at least 5 (few_shot_ingestion.min_classes)" in message
    assert "split_groups" not in message
    classes["unit"] = ["greek"] * 5 + ["thai", "lao"]
    with pytest.raises(HeadstartError, match=r"7 classes in 3 groups.*few_shot_ingestion\.split_g"):
        refuse_few_classes("letters", classes, 5, "few_shot_ingestion")
