"""What representations are like beside how well they do: does the one predict the other?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation.table_rows import at_most_shots

QUALITIES = ("effective_rank", "alignment", "uniformity")
PROBE = "linear_probe"
# A rank correlation over fewer representations says nothing.
FEWEST = 5


def probe_scores(board: pd.DataFrame, target: str, metric: str) -> pd.DataFrame:
    """The linear probe of each representation at the largest number of labels, the best first.

    Args:
        board: the leaderboard.
        target: which target.
        metric: which metric.

    Returns:
        Rows of the leaderboard; none where no probe was fitted.
    """
    here = (board["target"] == target) & (board["metric"] == metric) & (board["method"] == PROBE)
    rows = at_most_shots(board[here])
    return rows.sort_values("mean", ascending=not HIGHER_IS_BETTER[metric], kind="stable")


def quality_table(
    qualities: pd.DataFrame, board: pd.DataFrame, target: str, metric: str
) -> pd.DataFrame:
    """Effective rank, alignment and uniformity of each representation beside its linear probe.

    Args:
        qualities: columns target, representation, dimension, images, effective_rank, alignment,
            uniformity.
        board: the leaderboard.
        target: which target.
        metric: of the probe's score.

    Returns:
        The target's rows of `qualities` with `mean`, `low`, `high` of `probe_scores` (NaN where
        there is none), the best probe first.
    """
    own = qualities[qualities["target"] == target] if len(qualities) else qualities
    if own.empty:
        return pd.DataFrame()
    probes = probe_scores(board, target, metric)[["representation", "mean", "low", "high"]]
    return own.merge(probes, on="representation", how="left").sort_values(
        "mean", ascending=not HIGHER_IS_BETTER[metric], kind="stable", ignore_index=True
    )


def rank_correlations(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """Whether representations with more of a quality have the better probe.

    Args:
        table: of `quality_table`.
        metric: of the probe's score.

    Returns:
        Quality -> Spearman's rank correlation with how good the score is, over the representations
        that have both (NaN where one of them is the same for all); empty where these are fewer
        than `FEWEST`.
    """
    if table.empty or len(table.dropna(subset=["mean"])) < FEWEST:
        return {}
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    correlations: dict[str, float] = {}
    for quality in QUALITIES:
        both = table[[quality, "mean"]].astype(float).dropna()
        ranks = both.rank()
        known = len(both) >= FEWEST and (ranks.nunique() > 1).all()
        correlations[quality] = (
            sign * float(ranks[quality].corr(ranks["mean"])) if known else np.nan
        )
    return correlations
