"""Nodes of the ingestion stage for targets and sources that are texts."""

import hashlib
from typing import Any

import pandas as pd

from headstart.learning.splits import screen, without
from headstart.pipelines.ingestion.nodes import MIN_PER_CLASS, refuse_bad, refuse_one_class
from headstart.pipelines.ingestion.parameters import IngestionParameters

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


def read_source_texts(source: str, raw: pd.DataFrame) -> Texts:
    """Set aside what cannot be used of a labeled source, and say why.

    Args:
        source: its name.
        raw: columns path, text and label; null where there is none.

    Returns:
        As `read_texts`, with the role "source".

    Raises:
        HeadstartError: the labels of the texts name fewer than two classes.
    """
    texts, rows, quarantine, counts = read_texts(source, raw)
    counts["read"] = {"target": 0, "source": len(raw)}
    counts["set_aside"] = {"target": 0, "source": len(quarantine)}
    return texts, rows, quarantine.assign(role="source").astype("str"), counts


def choose_source_texts(
    source: str,
    rows: pd.DataFrame,
    quarantine: pd.DataFrame,
    counts: dict[str, Any],
    parameters: IngestionParameters,
    *targets: pd.DataFrame,
) -> pd.DataFrame:
    """The texts of a labeled source to learn from.

    Args:
        source: its name.
        rows: its good rows.
        quarantine: what was set aside, of all targets and sources.
        counts: of its texts read and set aside.
        parameters: largest share that may be.
        targets: the good rows of each target; texts that are equal to one of these are left out.

    Returns:
        Column row.

    Raises:
        HeadstartError: too much was set aside, or fewer than two classes are left.
    """
    refuse_bad(source, quarantine, counts, parameters.max_bad_share)
    kept = rows.iloc[without(rows, {digest for table in targets for digest in table["digest"]})]
    refuse_one_class(source, kept["label"].unique(), "texts that no target has")
    return kept[["row"]].reset_index(drop=True)
