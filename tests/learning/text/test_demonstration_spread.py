from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.learning.text.demonstration_spread import (
    SPREAD_COLUMNS,
    demonstration_spread,
    summarize,
)


def scores(*rows: tuple[Any, ...]) -> pd.DataFrame:
    columns = ["representation", "method", "shots", "seed", "metric", "value", "chosen"]
    table = pd.DataFrame(rows, columns=columns).astype({"shots": "Int64"})
    return table.assign(target="news")


def asked(shots: int | None, seed: int, value: float, orders: list[float]) -> tuple[Any, ...]:
    chosen = json.dumps({"validation_accuracies": orders})
    return ("smollm2", "in_context", shots, seed, "accuracy", value, chosen)


ROWS = (
    asked(0, 0, 0.7, [0.7]),
    asked(4, 0, 0.5, [0.25, 0.75, 0.5]),
    asked(4, 1, 0.9, [0.8, 0.9, 1.0]),
    asked(1, 0, 0.6, [0.6]),
    ("smollm2", "in_context", 4, 0, "nll", 1.5, json.dumps({"validation_accuracies": [1.0, 0.0]})),
    ("minilm", "lora", 4, 0, "accuracy", 0.8, json.dumps({"steps": 20})),
)


def test_draws_are_test_accuracies_and_orders_are_those_that_were_kept() -> None:
    spread = demonstration_spread(scores(*ROWS), scores(*ROWS))
    assert list(spread.columns) == list(SPREAD_COLUMNS)
    draws = spread[spread["order"].isna()]
    assert draws[["shots", "seed", "accuracy"]].to_numpy().tolist() == [
        [1, 0, 0.6],
        [4, 0, 0.5],
        [4, 1, 0.9],
    ]
    assert set(draws["split"]) == {"test"}
    orders = spread[spread["order"].notna()]
    assert orders["accuracy"].tolist() == [0.25, 0.75, 0.5, 0.8, 0.9, 1.0]
    assert orders["order"].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(orders["split"]) == {"validation"}


def test_the_summary_of_orders_does_not_mix_draws() -> None:
    summary = summarize(demonstration_spread(scores(*ROWS), scores(*ROWS)))
    four = summary[summary["shots"] == 4].set_index("over")
    draws, orders = four.loc["draws"], four.loc["orders"]
    assert (draws["number"], draws["low"], draws["high"]) == (2, 0.5, 0.9)
    assert draws["sd"] == pytest.approx(np.std([0.5, 0.9], ddof=1))
    assert (orders["number"], orders["low"], orders["high"]) == (3, 0.25, 0.75)
    variances = [np.var([0.25, 0.75, 0.5], ddof=1), np.var([0.8, 0.9, 1.0], ddof=1)]
    assert orders["sd"] == pytest.approx(np.sqrt(np.mean(variances)))
    one = summary[summary["shots"] == 1]
    assert one["over"].tolist() == ["draws"]
    assert np.isnan(one["sd"].iloc[0])


def test_where_nothing_was_asked_there_is_no_row() -> None:
    spread = demonstration_spread(scores(ROWS[-1]), scores(ROWS[-1]))
    assert spread.empty
    assert list(spread.columns) == list(SPREAD_COLUMNS)
    assert summarize(spread).empty
