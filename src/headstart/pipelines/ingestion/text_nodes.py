"""Nodes of the ingestion stage for targets that are texts."""

import hashlib
from typing import Any

import pandas as pd

from headstart.learning.splits import screen
from headstart.pipelines.ingestion.nodes import MIN_PER_CLASS, refuse_one_class

Texts = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]


def read_texts(target: str, raw: pd.DataFrame) -> Texts:
    """Set aside what cannot be used, and say why.

    Args:
        target: name of the target.
        raw: columns path, text and label; null where there is none.

    Returns:
        The texts that could be read (path, text, label, digest), one row each; the good ones of
        their rows (row, path, label, digest); what was set aside (target, role, path, reason); and
        counts.

    Raises:
        HeadstartError: the labels of the texts name fewer than two classes.
    """
    empty, unlabeled = raw["text"].isna(), raw["label"].isna()
    reasons = pd.Series("no text", index=raw.index).where(empty, "no label")
    rejected = raw[["path"]].assign(reason=reasons)[empty | unlabeled]
    texts = raw[~(empty | unlabeled)].reset_index(drop=True)
    refuse_one_class(target, texts["label"].unique(), "texts")
    # Case and blanks aside: a text that was only typeset anew is the same text.
    plain = texts["text"].str.lower().str.split().str.join(" ")
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in plain]
    texts = texts.assign(digest=pd.Series(digests, dtype="str"))
    rows, unusable, duplicates = screen(texts, MIN_PER_CLASS)
    quarantine = pd.concat([rejected, unusable], ignore_index=True)
    quarantine = quarantine.assign(target=target, role="target")
    counts = {
        "target": target,
        "read": {"target": len(raw), "source": 0},
        "set_aside": {"target": len(quarantine), "source": 0},
        "duplicates_removed": {"within_target": duplicates},
    }
    return texts, rows, quarantine[["target", "role", "path", "reason"]].astype("str"), counts
