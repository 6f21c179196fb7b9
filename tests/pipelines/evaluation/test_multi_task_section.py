"""What the report says of tables of several tasks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from headstart.pipelines.evaluation.multi_task_section import multi_task_view
from headstart.pipelines.evaluation.templates import environment_of_templates


def results(shots: list[int | None]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **{"track": "tables", "target": target, "method": method, "shots": number},
                **{"seed": seed, "metric": "rmse", "value": value + 0.01 * seed},
            }
            for target in ("wells", "wells.north", "wells.south")
            for method, value in (("separate", 2.0), ("pooled", 1.0))
            for number in shots
            for seed in range(3)
        ]
    ).astype({"shots": "Int64"})


@pytest.mark.parametrize(
    ("timed", "shots", "said"),
    [(True, [20, None], True), (True, [20], False), (False, [20, None], False)],
)
def test_intervals_over_the_same_rows_are_told(
    timed: bool, shots: list[int | None], said: bool
) -> None:
    view: dict[str, Any] = {
        **{"id": "target-0", "name": "wells", "track": "tables"},
        **{"metric": "rmse", "timed": timed},
    }
    empty = pd.DataFrame()
    view |= multi_task_view(view, results(shots), empty, empty, {})
    assert view["multi_task"]["same_rows"] == said
    page = (
        environment_of_templates(autoescape=True)
        .get_template("multi_task_section.html.jinja")
        .render(targets=[view], confidence=0.95, target_heading=lambda target: "")
    )
    assert ("every draw is the same rows" in page) == said
    assert "helps in 2" in page if len(shots) == 1 else "helps in 4" in page
