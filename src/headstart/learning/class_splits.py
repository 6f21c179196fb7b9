"""Which classes are learned from, chosen on and tested on, where learning itself is learned.

Not examples but classes are split: at the test every class is new. Classes that belong together
(the letters of one script) form a group and stay together. Units, groups or else single classes,
are ordered by a hash of seed and name. With w_i classes in the i-th of them and W in all, unit i
lies at

    m_i = (w_1 + ... + w_{i-1} + w_i / 2) / W

and is meta-test where m_i < t, meta-validation where t <= m_i < t + v, and meta-train otherwise,
for shares t and v. One class more moves each m_i by less than two units lie apart, so no more than
one unit changes sides at each of the two borders, whatever the others are called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.quarter_turns import upright_label

SPLITS = ("meta_train", "meta_validation", "meta_test")


def class_table(labels: pd.Series, turned: bool, whole_groups: bool) -> pd.DataFrame:
    """What is known of each class.

    Args:
        labels: of the examples; a label with a slash starts with the name of its group.
        turned: whether there are classes of turned images (`headstart.learning.quarter_turns`).
        whole_groups: whether groups stay together.

    Returns:
        Columns class (position among the sorted labels), label, group (null where it has none),
        unit (what stays whole: the group, or else the class and what it is when turned), examples.
    """
    counts = labels.value_counts().sort_index()
    names = pd.Series(counts.index, dtype="str")
    upright = names.map(upright_label) if turned else names
    grouped = names.str.contains("/")
    group = names.str.partition("/")[0].where(grouped)
    return pd.DataFrame(
        {
            "class": np.arange(len(names)),
            "label": names,
            "group": group.astype("str"),
            "unit": (upright.mask(grouped, group) if whole_groups else upright).astype("str"),
            "examples": counts.to_numpy(),
        }
    )


def split_classes(units: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Split classes so that units stay whole.

    Args:
        units: the unit of each class.
        shares: of the classes, for "meta_validation" and "meta_test"; the rest are meta-train.
        seed: draws the order of the units.

    Returns:
        One of `SPLITS` for each class.
    """
    sizes = pd.Series(list(units), dtype="str").value_counts()
    order = sorted(sizes.index, key=lambda u: hashlib.sha256(f"{seed} {u}".encode()).hexdigest())
    widths = sizes[order].to_numpy()
    middles = (np.cumsum(widths) - widths / 2) / max(widths.sum(), 1)
    borders = np.cumsum([shares["meta_test"], shares["meta_validation"]])
    names = np.array(["meta_test", "meta_validation", "meta_train"])
    split_of = dict(zip(order, names[np.searchsorted(borders, middles, side="right")], strict=True))
    return [str(split_of[unit]) for unit in units]


def refuse_few_classes(name: str, classes: pd.DataFrame, fewest: int, where: str) -> None:
    """Raise where a split has too few classes to make an episode of.

    Args:
        name: of the family of tasks.
        classes: columns split, unit and label.
        fewest: classes that each split needs.
        where: name of the parameters.

    Raises:
        HeadstartError: gives the numbers.
    """
    counts = {split: int((classes["split"] == split).sum()) for split in SPLITS}
    if min(counts.values()) >= fewest:
        return
    units = classes["unit"].nunique()
    whole = f" in {units} groups that stay whole" if units < len(classes) else ""
    found = ", ".join(f"{n} for {split}" for split, n in counts.items())
    split_up = f", or list the family in {where}.split_groups" if whole else ""
    raise HeadstartError(
        f"{name}: {len(classes)} classes{whole} were found, which makes {found}; each needs at "
        f"least {fewest} ({where}.min_classes). Give more classes, change the shares "
        f"({where}.validation_share, test_share){split_up}."
    )
