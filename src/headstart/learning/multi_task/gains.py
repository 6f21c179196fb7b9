"""What learning together brings to each task: paired by draw, against learning alone or pooled.

    gain_t = mean over seeds s of (score_ts(method) - score_ts(baseline))

with Student's interval over the seeds. The sign is that of the metric: for an error, such as rmse,
a negative gain is the good one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.learning.statistics import mean_interval, paired_gain

COLUMNS = [
    *("task", "method", "against", "shots", "seeds", "mean"),
    *("gain", "gain_low", "gain_high", "pays", "hurts"),
]


def task_gains(
    results: pd.DataFrame,
    target: str,
    metric: str,
    against: Sequence[str] = ("separate", "pooled"),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Every method against the baselines, on each task and on average.

    Args:
        results: the results table; the tasks of a target are its targets `<target>.<task>`.
        target: name of the target.
        metric: that is compared.
        against: methods that the others are compared with, where they were run.
        confidence: coverage of the intervals.

    Returns:
        Columns `COLUMNS`; `task` is empty for the mean over the tasks, `pays` and `hurts` say
        where the interval excludes zero.
    """
    own = results[(results["metric"] == metric) & (results["track"] == "tables")]
    tasks = own["target"].str.removeprefix(f"{target}.").where(own["target"] != target, "")
    own = own.assign(task=tasks)[(own["target"] == target) | (tasks != own["target"])]
    scores = {
        key: dict(zip(rows["seed"], rows["value"], strict=True))
        for key, rows in own.assign(shots=own["shots"].fillna(-1).astype("int64")).groupby(
            ["task", "method", "shots"], sort=False
        )
    }
    better = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    rows = []
    for (task, method, number), values in scores.items():
        shots = int(str(number))
        mean = mean_interval(list(values.values()), confidence)
        for baseline in against:
            other = scores.get((task, baseline, number), {})
            gain = paired_gain(values, other, confidence) if baseline != method else None
            if gain is None:
                continue
            clear = gain.excludes_zero
            rows.append(
                [
                    *(task, method, baseline, None if shots < 0 else shots, mean.n, mean.mean),
                    *(gain.mean, gain.low, gain.high),
                    clear and better * gain.mean > 0,
                    clear and better * gain.mean < 0,
                ]
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"shots": "Int64", "pays": "bool", "hurts": "bool"})
