"""How the report and the model card write names and numbers for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.learning.leaderboard import BASELINE, WITHOUT_NAME

# What is not here is written as its name with spaces for underscores.
METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "nll": "negative log-likelihood",
    "ece": "calibration error",
    "auc": "area under the ROC curve",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "accuracy_transductive": "transductive accuracy",
    "mse": "mean squared error",
}
# For the heads of tables.
SHORT_METRICS = {"nll": "NLL", "ece": "ECE", "auc": "AUC", "mse": "MSE"}
METHODS = {
    "bitfit": "BitFit",
    "fine_tune": "fine-tuning",
    "from_scratch": "from scratch",
    "in_context": "in-context learning",
    "lora": "LoRA",
    "separate": "a network for each task",
    "pooled": "one network for all tasks",
    "pooled_with_task": "one network, told the task",
    "layer_sharing": "shared layers",
    "regularized": "pairwise regularization",
    "pcgrad": "shared layers with PCGrad",
    "mgda": "shared layers with MGDA",
    "cagrad": "shared layers with CAGrad",
    "gradnorm": "shared layers with GradNorm",
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "anil": "ANIL",
    "reptile": "Reptile",
    "prototypical": "prototypical networks",
    "pooled_pretraining": "Baseline++ (pooled pretraining)",
}
# Of the few_shot track.
NETWORKS = {"conv4": "Conv-4", "dense": "dense network"}
MOST_PLAIN = 1e6  # from here on a number is written with a power of ten: an error that diverged
SHOTS = {"tables": ("labeled row", " per task"), "few_shot": ("shot", "")}


def words(name: str) -> str:
    """A name from a table, with spaces; `glyphs.5_way` is "glyphs, 5-way"."""
    return re.sub(r"\.(\d+)_way$", r", \1-way", str(name)).replace("_", " ")


def metric_name(metric: str) -> str:
    """A metric in words."""
    return METRICS.get(metric, words(metric))


def short_metric_name(metric: str) -> str:
    """A metric by its short name, where it has one."""
    return SHORT_METRICS.get(metric, metric_name(metric))


def bare_method_name(method: str) -> str:
    """A method without what it starts from."""
    return METHODS.get(method, words(method))


def network_name(representation: str) -> str:
    """Which network it is that was trained from scratch.

    Args:
        representation: of the rows from scratch: `random`, the untrained network that all pretext
            tasks pretrain, or `<name>_untrained`, the network of that representation, or the
            network of few-shot methods.
    """
    if representation in NETWORKS:
        return NETWORKS[representation]
    if representation == "random":
        return "pretext network"
    return f"network of {words(representation.removesuffix('_untrained'))}"


def method_name(representation: str, method: str) -> str:
    """A method with what it starts from, short enough for a legend."""
    name = bare_method_name(method)
    if method == BASELINE:
        return f"{name} · {network_name(representation)}"
    if representation in WITHOUT_NAME:
        return name
    return f"{words(representation)} · {name}"


def sentence(text: str) -> str:
    """The text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def listed(parts: list[str]) -> str:
    """One, two or more parts as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def labels(shots: Any, track: str = "") -> str:
    """Shots in words; null is all labels.

    Args:
        shots: labels per class; on tables of several tasks labeled rows per task; of a regression
            among few-shot tasks labeled points.
        track: of the target.
    """
    one, per = SHOTS.get(track, ("label", " per class"))
    if pd.isna(shots):
        return f"all {one}s"
    return f"{int(shots)} {one}{'' if shots == 1 else 's'}{per}"


def labels_per(track: str) -> str:
    """What shots count: labels per class, labeled rows per task, or just shots."""
    return labels(2, track).removeprefix("2 ")


def draws(number: int, track: str) -> str:
    """What an interval is over: so many seeds, or episodes.

    Args:
        number: how many.
        track: of the target.
    """
    one = "episode" if track == "few_shot" else "seed"
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def baseline_name(track: str) -> str:
    """What a track's gains are measured against."""
    return "learning each task alone" if track == "tables" else "training from scratch"


def decimals(value: float | None, places: int, signed: bool = False) -> str:
    """A number with so many decimals; a dash where there is no value."""
    if value is None or pd.isna(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    if abs(value) >= MOST_PLAIN:
        return f"{value:{'+' if signed else ''}.1e}".replace("-", "\N{MINUS SIGN}")
    return f"{value:{'+' if signed else ''}.{places}f}".replace("-", "\N{MINUS SIGN}")


def score(value: float | None, signed: bool = False) -> str:
    """Three decimals; a dash where there is no value."""
    return decimals(value, 3, signed)


def plus_minus(
    mean: float | None, low: float | None, high: float | None, signed: bool = False
) -> str:
    """Mean and half the width of its interval, which is symmetric; the mean alone without one."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return score(mean, signed)
    return f"{score(mean, signed)} ± {score((high - low) / 2)}"


def bounds(low: float | None, high: float | None, signed: bool = False) -> str:
    """An interval in words; empty where there is none."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return ""
    return f"{score(low, signed)} to {score(high, signed)}"


def percent(value: float) -> str:
    """A share; two figures below ten percent, so that a small chance is not written as none."""
    return f"{100 * value:.2g}%" if 0 < value < 0.095 else f"{100 * value:.0f}%"


def seconds(value: float | None) -> str:
    """A duration with two figures that matter."""
    if value is None or pd.isna(value):
        return "–"
    if value < 0.01:
        return "< 0.01 s"
    if value < 1:
        return f"{value:.2f} s"
    if value < 10:
        return f"{value:.1f} s"
    if value < 99.5:
        return f"{value:.0f} s"
    minutes = value / 60
    return f"{minutes:.1f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"


def count(value: float | None) -> str:
    """A number of things, rounded from ten thousand on: 9,999, 62 k, 3.4 M."""
    if value is None or pd.isna(value):
        return "–"
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.1f} {letter}" if scaled < 10 else f"{scaled:,.0f} {letter}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes in megabytes or gigabytes (powers of ten)."""
    if value is None or pd.isna(value):
        return "–"
    if value >= 1e9:
        return f"{value / 1e9:.1f} GB"
    return f"{value / 1e6:.0f} MB" if value >= 1e6 else "< 1 MB"


def counts(summary: Mapping[str, Any]) -> dict[str, str]:
    """The counts of an ingestion, nested ones as one level with their names joined.

    Args:
        summary: name -> count, or name -> (name -> count). `classes`, from a class to its count,
            becomes the number of classes and the range of the counts, `tasks` the number of tasks;
            the name of the `target` is left out.
    """
    flat: dict[str, str] = {}
    for name, value in summary.items():
        if name == "classes" and isinstance(value, Mapping):
            few, many = min(value.values(), default=0), max(value.values(), default=0)
            flat["classes"] = f"{len(value):,}"
            flat["examples per class"] = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        elif name == "tasks" and isinstance(value, Mapping):
            flat["tasks"] = f"{len(value):,}"
        elif isinstance(value, Mapping):
            flat |= {f"{words(name)}: {k}": v for k, v in counts(value).items()}
        elif name != "target" or not isinstance(value, str):
            flat[words(name)] = f"{value:,}" if isinstance(value, int) else str(value)
    return flat
