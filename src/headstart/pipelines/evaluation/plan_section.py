"""What the report says of memory and time: what each training was predicted to take, and took."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headstart.experiment.tracks import network_of
from headstart.learning.fits import IDENTITY
from headstart.learning.planning.parameters import GpuParameters
from headstart.pipelines.evaluation.table_rows import records

COLUMNS = {
    **{"training": "str", "track": "str", "target": "str", "network": "str", "method": "str"},
    **{"precision": "str", "batch": "Int64", "weights": "Int64", "gradients": "Int64"},
    **{"optimizer": "Int64", "activations": "Int64", "predicted_bytes": "Int64"},
    **{"measured_bytes": "Int64", "fits": "Int64", "ratio": "float64", "flops": "float64"},
    **{"gpus": "str", "too_small": "str", "fastest_seconds": "float64"},
    "slowest_seconds": "float64",
}
_KEY = ["track", "target", "network", "method"]


def predicted_and_measured(
    plans: pd.DataFrame,
    results: pd.DataFrame,
    pretext_scores: pd.DataFrame,
    gpus: pd.DataFrame,
    parameters: GpuParameters,
) -> pd.DataFrame:
    """Each plan beside what was measured of its trainings, and the GPUs that it fits.

    Measured is the median over the fits that had a whole batch to learn from. Of pretext tasks
    memory is measured from where the network is there, so its weights are added.

    Args:
        plans: `headstart.pipelines.checking.PLAN_COLUMNS`; may be empty.
        results: of all methods.
        pretext_scores: what the pretext tasks cost.
        gpus: the catalogue.
        parameters: which of them, and how they are used.

    Returns:
        Columns `COLUMNS`, one row a plan. `gpus` and `too_small` are names, joined by commas;
        seconds are those of a step on the fastest and the slowest of `gpus`, missing where the plan
        is a formula.
    """
    from headstart.learning.planning.gpu_catalogue import gpus_of, roofline

    tried = gpus_of(gpus, parameters.names)
    measured = _measured(results, pretext_scores)
    rows = []
    for plan in records(plans):
        work = [np.asarray(plan[name], dtype=np.float64) for name in ("flops", "moved", "times")]
        peak = plan["peak_bytes"]
        fitting = [gpu for gpu in tried if peak <= parameters.usable_share * gpu.memory]
        seconds = [
            roofline(
                *(work[0], work[1], work[2], gpu),
                half=plan["precision"] != "fp32",
                efficiency=parameters.efficiency,
                launch=parameters.launch_seconds,
            )
            for gpu in (fitting if len(work[0]) else [])
        ]
        peaks = _of_plan(measured, plan)
        median = float(peaks.median()) if len(peaks) else np.nan
        rows.append(
            {
                **plan,
                "predicted_bytes": peak,
                "measured_bytes": pd.NA if np.isnan(median) else round(median),
                "fits": len(peaks),
                "ratio": peak / median if median else np.nan,
                "flops": float(work[0] @ work[2]) if len(work[0]) else np.nan,
                "gpus": ", ".join(gpu.name for gpu in fitting),
                "too_small": ", ".join(gpu.name for gpu in tried if gpu not in fitting),
                "fastest_seconds": min(seconds, default=np.nan),
                "slowest_seconds": max(seconds, default=np.nan),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def plan_rows(plans: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of the table, as the template takes them.

    Args:
        plans: of `predicted_and_measured`; may be empty.
    """
    return records(plans.astype(object).where(plans.notna(), None))


def _measured(results: pd.DataFrame, pretext_scores: pd.DataFrame) -> pd.DataFrame:
    """Each fit once: `_KEY`, n_train, bytes."""
    fits = results.drop_duplicates(IDENTITY).copy()
    fits["network"] = [
        network_of(str(name)) if track == "images" else str(name).removesuffix("_untrained")
        for track, name in zip(fits["track"], fits["representation"], strict=True)
    ]
    # Only these plans depend on the target.
    fits["target"] = fits["target"].where(fits["track"].isin(["tables", "few_shot"]))
    pretext = pretext_scores.assign(track="images", network="pretext", target=None)
    pretext = pretext.rename(columns={"task": "method"})
    columns = [*_KEY, "n_train", "peak_memory_bytes"]
    both = [part[columns].astype(object) for part in (fits, pretext) if set(columns) <= set(part)]
    return pd.concat([part for part in both if len(part)] or both, ignore_index=True)


def _of_plan(measured: pd.DataFrame, plan: dict[str, Any]) -> pd.Series:
    """Bytes of the fits of one plan that had a whole batch; of episodes there are always enough."""
    own = (measured["n_train"] >= plan["batch"]) | (measured["track"] == "few_shot")
    for name in _KEY:
        own &= measured[name].isna() if pd.isna(plan[name]) else measured[name] == plan[name]
    peaks = measured.loc[own, "peak_memory_bytes"].dropna().astype(float)
    of_pretext = str(plan["training"]).startswith("pretraining.")
    return peaks + (plan["weights"] if of_pretext else 0)
