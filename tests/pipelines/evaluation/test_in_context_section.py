import re

import pandas as pd

from headstart.learning.text.demonstration_spread import SPREAD_COLUMNS
from headstart.pipelines.evaluation import figure_style, in_context_section
from headstart.pipelines.evaluation.report import render_report


def test_demonstrations_that_did_not_fit_are_counted():
    splits = pd.DataFrame({"class": [0, 1, 2, 0]})
    rows = pd.DataFrame(
        {
            "method": ["in_context", "in_context", "in_context", "lora"],
            "representation": "smollm2",
            "shots": pd.Series([0, 4, 16, 16], dtype="Int64"),
            "n_train": pd.Series([0, 12, 31, 48], dtype="Int64"),
        }
    )
    assert in_context_section.dropped_demonstrations(rows, splits) == [(16, 31, 48)]
    assert in_context_section.dropped_demonstrations(rows, None) == []


def spread(orders):
    """Two draws at 1 and 4 labels per class; with `orders`, three orders of each at 4."""
    rows = [
        ("faces", "smollm2", shots, seed, None, "test", accuracy)
        for shots, seed, accuracy in ((1, 0, 0.31), (1, 1, 0.52), (4, 0, 0.63), (4, 1, 0.74))
    ]
    if orders:
        rows += [
            ("faces", "smollm2", 4, seed, order, "validation", 0.25 * (order + seed))
            for seed in (0, 1)
            for order in range(3)
        ]
    return pd.DataFrame(rows, columns=list(SPREAD_COLUMNS)).astype(SPREAD_COLUMNS)


def test_every_draw_and_every_order_is_a_mark():
    draws, orders = in_context_section.spread_figure(spread(orders=True)).data
    assert list(draws.y) == [0.31, 0.52, 0.63, 0.74]
    assert list(draws.x) == [0, 0, 1, 1]
    assert list(orders.y) == [0.0, 0.25, 0.5, 0.25, 0.5, 0.75]
    assert all(0 < x - 1 < 0.5 for x in orders.x)  # beside the draws at 4 labels
    assert orders.hovertext[4] == "smollm2, draw 2, order 2, validation rows: 0.500"
    assert draws.marker.color == orders.marker.color == figure_style.color("smollm2")


def test_no_model_hides_another():
    both = pd.concat([spread(orders=False), spread(orders=False).assign(representation="other")])
    at = [
        set(zip(trace.x, trace.y, strict=True))
        for trace in in_context_section.spread_figure(both).data
    ]
    assert sum(map(len, at)) == len(set().union(*at)) == 8


def test_least_greatest_and_spread_are_on_the_page(experiment):
    arguments = experiment.arguments()
    page = render_report(**arguments, in_context_spread=spread(orders=True))
    text = page.split('id="demonstrations"')[1].split("<h2")[0]
    rows = [
        re.findall(r">([^<]+)<", row) for row in re.findall(r"<tr><th scope=\"row\".*?</tr>", text)
    ]
    assert rows == [
        ["smollm2", "1 label per class", "2 draws", "0.310", "0.520", "0.148"],
        ["smollm2", "4 labels per class", "2 draws", "0.630", "0.740", "0.078"],
        ["smollm2", "4 labels per class", "3 orders, widest draw", "0.000", "0.500", "0.250"],
    ]
    assert "One order was asked" not in text
    assert 'href="#demonstrations"' in page
    alone = render_report(**arguments, in_context_spread=spread(orders=False))
    assert "One order was asked" in alone


def test_where_nothing_was_asked_in_context_there_is_no_section(experiment):
    none = spread(orders=False).iloc[:0]
    page = render_report(**experiment.arguments(), in_context_spread=none)
    assert "demonstrations" not in page
