"""How far in-context learning depends on which examples are shown, and in which order.

    spread over draws: accuracy on the test rows, one number a seed, each with k examples a class
    spread over orders: accuracy on the validation rows, one number an order of one draw's examples

(Lu et al. 2022 found orders from near chance to near the best among permutations of the same
examples.) The reported probabilities are means over the orders.
"""

from __future__ import annotations

import json

import pandas as pd

SPREAD_COLUMNS = {
    **{"target": "str", "representation": "str", "shots": "Int64", "seed": "int64"},
    **{"order": "Int64", "split": "str", "accuracy": "float64"},
}
SUMMARY_COLUMNS = ["target", "representation", "shots", "over", "number", "low", "high", "sd"]


def demonstration_spread(results: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of every draw and every order of demonstrations.

    Args:
        results: test scores of all methods (`headstart.learning.fits.RESULT_COLUMNS`).
        validation: validation scores, with `chosen` as JSON; that of in-context learning holds
            "validation_accuracies", one an order.

    Returns:
        Columns `SPREAD_COLUMNS`. A draw is a row of the split "test" whose order is null; an order
        is a row of the split "validation". Without demonstrations (0 shots) there is nothing to
        draw or to order, so there is no row.
    """
    rows = []
    draws = _accuracies(results)
    for of in draws[["target", "representation", "shots", "seed", "value"]].to_dict("records"):
        rows.append({**of, "order": None, "split": "test", "accuracy": of["value"]})
    orders = _accuracies(validation)
    for of in orders[["target", "representation", "shots", "seed", "chosen"]].to_dict("records"):
        each = json.loads(of["chosen"]).get("validation_accuracies", [])
        for order, accuracy in enumerate(each if len(each) > 1 else []):
            rows.append({**of, "order": order, "split": "validation", "accuracy": accuracy})
    return pd.DataFrame(rows, columns=list(SPREAD_COLUMNS)).astype(SPREAD_COLUMNS)


def summarize(spread: pd.DataFrame) -> pd.DataFrame:
    """Least, greatest and standard deviation, for each target, model and number of shots.

    Args:
        spread: of `demonstration_spread`.

    Returns:
        Columns `SUMMARY_COLUMNS`; `over` is "draws" or "orders". `sd` has n - 1 in the denominator,
        NaN for one draw. Over orders, least and greatest are those of a single draw in which they
        lie furthest apart, and `sd` is the root of the mean variance within a draw, so that
        neither mixes in how the draws differ.
    """
    rows = []
    for key, group in spread.groupby(["target", "representation", "shots"], sort=True):
        draws = group.loc[group["order"].isna(), "accuracy"]
        low, high = draws.min(), draws.max()
        rows.append([*key, "draws", len(draws), low, high, draws.std(ddof=1)])
        orders = group[group["order"].notna()].groupby("seed")["accuracy"]
        if len(orders):
            widest = int((orders.max() - orders.min()).argmax())
            low, high = orders.min().iloc[widest], orders.max().iloc[widest]
            number = int(orders.size().iloc[0])
            rows.append([*key, "orders", number, low, high, orders.var(ddof=1).mean() ** 0.5])
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _accuracies(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows with an accuracy of prompts that showed something, in a fixed order."""
    shown = (scores["method"] == "in_context") & scores["shots"].gt(0).fillna(False)
    rows = scores[shown & (scores["metric"] == "accuracy")]
    return rows.sort_values(["target", "representation", "shots", "seed"], kind="stable")
