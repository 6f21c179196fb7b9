"""What a column will be: the targets of a forecast.

The target of a row of task t at time s is y_t(s + h), or the change y_t(s + h) - y_t(s), where y_t
is the target column of the same task and h the duration to look ahead. Rows are joined on time,
not counted, so a gap in the records shifts nothing.
"""

from __future__ import annotations

import pandas as pd


def look_ahead(rows: pd.DataFrame, ahead: pd.Timedelta, difference: bool) -> pd.Series:
    """The target of each row, null where the row that much later, or a value in it, is missing.

    Args:
        rows: columns task, time and target; no time twice in a task.
        ahead: the duration h.
        difference: the change, instead of the value.
    """
    later = rows[["task", "time", "target"]].assign(time=rows["time"] - ahead)
    joined = rows[["task", "time"]].merge(later, on=["task", "time"], how="left")
    values = pd.Series(joined["target"].to_numpy(), index=rows.index, dtype=rows["target"].dtype)
    return values - rows["target"] if difference else values
