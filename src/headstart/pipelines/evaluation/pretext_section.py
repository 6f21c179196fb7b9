"""What the report says of pretraining: what each task saw, how well it did, what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.pipelines.evaluation import training_figures, wording
from headstart.pipelines.evaluation.pictures import picture
from headstart.pipelines.evaluation.quality_table import probe_scores

if TYPE_CHECKING:
    from headstart.learning.pretext.task import Example

# What each task asks; one that is not listed shows its pictures without words.
QUESTIONS = {
    "rotation": "By how much was the image turned?",
    "jigsaw": "In which order were the nine tiles?",
    "colorization": "Which colors does this gray image have?",
    "inpainting": "What do the hidden patches look like?",
    "contrastive": "Which of all other views shows the same image?",
    "supervised": "Which class is it? No pretext task: it is told the source's own labels.",
}
OPEN_PICTURES = 4  # of a task, about a row; examples beyond these are folded away
UNTRAINED = "random"
BOUNDS = ("mean", "low", "high")


def pretext_sources(
    scores: pd.DataFrame,
    histories: pd.DataFrame,
    examples: Mapping[tuple[str, str], Sequence[Example]],
    board: pd.DataFrame,
    metrics: Mapping[str, str],
    plots: dict[str, Any],
) -> list[dict[str, Any]]:
    """What the section shows, one item a source.

    Args:
        scores: held-out scores and costs of all pretext tasks; may be empty.
        histories: their training histories; may be empty.
        examples: (source, task) -> what the task saw and said; may be empty.
        board: the leaderboard.
        metrics: target -> the metric that is shown first.
        plots: id -> variants of a figure; the learning curves are added.

    Returns:
        For each source its name, whether it is one target's own, the tasks that ran (`tasks`),
        those that could not (`left_out`), and how its `curves` are called.
    """
    targets = list(metrics)
    sources = []
    trained_on = list(dict.fromkeys(scores.get("source", [])))
    own_first = [t for t in targets if t in trained_on]
    for number, source in enumerate(dict.fromkeys([*own_first, *trained_on])):
        rows = scores[scores["source"] == source]
        ran = rows[rows["left_out"].isna()]
        item: dict[str, Any] = {
            "id": f"source-{number}",
            "name": source,
            "own": source in targets,
            "images": int((ran["n_train"] + ran["n_heldout"]).max()) if len(ran) else None,
            "left_out": dict(rows.dropna(subset=["left_out"])[["task", "left_out"]].to_numpy()),
        }
        item["tasks"] = [
            _task(row, examples.get((source, row["task"]), []))
            | {
                "reached": _reached(
                    row["task"], [source] if item["own"] else targets, board, metrics
                )
            }
            for row in ran.to_dict("records")
        ]
        item["curves"] = _curves(item["id"], source, histories, plots)
        sources.append(item)
    return sources


def learned(row: Mapping[str, Any]) -> str:
    """Whether a pretext task was learned, as a sentence.

    Args:
        row: one of the pretext scores.
    """
    value, chance = (
        wording.percent(row[c]) if _is_share(row) else wording.score(row[c])
        for c in ("value", "chance")
    )
    words = (
        f"{wording.sentence(wording.words(row['score']))} {value} on "
        f"{wording.count(row['n_heldout'])} held-out images; a network that has learned nothing "
        f"would have {chance}."
    )
    return words if above_chance(row) else words + " That is not clearly above chance."


def above_chance(row: Mapping[str, Any]) -> bool:
    """Whether a held-out score is clearly above chance.

    An accuracy has to be so by two standard errors that guessing would have over as many images.

    Args:
        row: one of the pretext scores.
    """
    chance = float(row["chance"])
    luck = 2 * math.sqrt(chance * (1 - chance) / row["n_heldout"]) if _is_share(row) else 0.0
    return bool(row["value"] > chance + luck)


def cost(row: Mapping[str, Any]) -> str:
    """What pretraining cost, in a line.

    Args:
        row: one of the pretext scores.
    """
    passes = float(row["epochs"])
    parts = [
        f"{int(row['steps']):,} steps",
        f"{f'{passes:.1f}' if passes < 9.95 else f'{passes:,.0f}'} passes over "
        f"{wording.count(row['n_train'])} images",
        wording.seconds(row["train_seconds"]),
        f"{wording.words(row['architecture'])} with {wording.count(row['total_parameters'])} "
        f"parameters at {int(row['image_size'])} px",
    ]
    if not pd.isna(row["peak_memory_bytes"]):
        parts.append(f"{wording.size(row['peak_memory_bytes'])} of memory")
    return ", ".join(parts)


def _is_share(row: Mapping[str, Any]) -> bool:
    return str(row["score"]).endswith("accuracy")


def _task(row: Mapping[str, Any], examples: Sequence[Example]) -> dict[str, Any]:
    pictured = [
        [
            {"picture": picture(image), "caption": caption}
            for image, caption in zip(example.pictures, example.captions, strict=True)
        ]
        for example in examples
    ]
    fitting, pictures = 0, 0
    for example in pictured:
        pictures += len(example)
        fitting += pictures <= OPEN_PICTURES or fitting == 0
    return {
        "name": row["task"],
        "question": QUESTIONS.get(row["task"], ""),
        "learned": learned(row),
        "above_chance": above_chance(row),
        "cost": cost(row),
        "open": pictured[:fitting],
        "folded": pictured[fitting:],
    }


def _reached(
    task: str, targets: Sequence[str], board: pd.DataFrame, metrics: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The linear probe on the encoder, and on the same network untrained, for each target."""
    reached = []
    for target in targets:
        probes = probe_scores(board, target, metrics[target])
        rows = {str(row["representation"]): row for _, row in probes.iterrows()}
        if task in rows:
            untrained = rows.get(UNTRAINED)
            reached.append(
                {
                    "target": target,
                    "metric": metrics[target],
                    "shots": rows[task]["shots"],
                    "score": [rows[task][bound] for bound in BOUNDS],
                    "untrained": None if untrained is None else [untrained[b] for b in BOUNDS],
                }
            )
    return reached


def _curves(
    name: str, source: str, histories: pd.DataFrame, plots: dict[str, Any]
) -> list[dict[str, Any]]:
    if histories.empty:
        return []
    own = histories[histories["source"] == source]
    curves = []
    for number, task in enumerate(dict.fromkeys(own["task"])):
        curve = f"{name}-curves-{number}"
        plots[curve] = {
            quantity: training_figures.pretext_curves(own, source, quantity, [task])
            for quantity in ("loss", "score")
        }
        curves.append({"id": curve, "task": task})
    return curves
