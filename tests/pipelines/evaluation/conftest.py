"""What a run of the default experiment leaves for the report, made up from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.learning import metrics
from headstart.learning.fits import RESULT_COLUMNS
from headstart.learning.leaderboard import leaderboard
from headstart.learning.pretext.pretrain import SCORE_COLUMNS
from headstart.learning.pretext.task import Example
from headstart.learning.recommendation import recommend
from headstart.learning.statistics import mean_interval

TASKS = ("rotation", "contrastive")
PROBES = ("linear_probe", "nearest_neighbors")
# (representation, method): share of what can be learned that it reaches with 1 and with all labels,
# log10 of its training seconds, parameters that it trains
METHODS = {
    ("pixels", "linear_probe"): (0.22, 0.62, -1.0, 2_050),
    ("pixels", "nearest_neighbors"): (0.20, 0.50, -1.9, 0),
    ("pca", "linear_probe"): (0.25, 0.60, -1.2, 130),
    ("pca", "nearest_neighbors"): (0.24, 0.55, -2.1, 0),
    ("random", "linear_probe"): (0.15, 0.45, -0.9, 2_562),
    ("random", "nearest_neighbors"): (0.13, 0.38, -1.7, 0),
    ("imagenet", "linear_probe"): (0.45, 0.84, -0.8, 2_562),
    ("imagenet", "nearest_neighbors"): (0.40, 0.72, -1.6, 0),
    ("imagenet", "fine_tune"): (0.35, 0.93, 1.5, 3_400_000),
    ("random", "from_scratch"): (0.05, 0.68, 1.6, 1_240_000),
    ("imagenet_untrained", "from_scratch"): (0.03, 0.55, 1.9, 3_400_000),
    ("rotation", "linear_probe"): (0.30, 0.70, -0.8, 514),
    ("rotation", "fine_tune"): (0.28, 0.75, 1.2, 1_240_000),
    ("contrastive", "linear_probe"): (0.33, 0.74, -0.8, 514),
}

# (representation, method): score before adapting and after the last step with 1 shot (accuracy, or
# squared error), gradient steps on a new task, meta-training iterations
FEW_SHOT_CLASSES = {
    ("conv4", "maml"): (0.21, 0.86, 10, 1500),
    ("conv4", "fomaml"): (0.20, 0.82, 10, 1500),
    ("conv4", "anil"): (0.22, 0.85, 10, 1500),
    ("conv4", "reptile"): (0.20, 0.38, 10, 1500),
    ("conv4", "prototypical"): (0.90, 0.90, 0, 2000),
    ("conv4", "pooled_pretraining"): (0.80, 0.83, 10, 1000),
    ("conv4", "from_scratch"): (0.20, 0.42, 10, 0),
    ("pixels", "nearest_centroid"): (0.56, 0.56, 0, 0),
    ("imagenet", "nearest_centroid"): (0.70, 0.70, 0, 0),
}
FEW_SHOT_SINUSOIDS = {
    ("dense", "maml"): (3.3, 0.7, 10, 5000),
    ("dense", "fomaml"): (3.4, 0.8, 10, 5000),
    ("dense", "anil"): (3.5, 1.4, 10, 5000),
    ("dense", "reptile"): (3.0, 1.6, 10, 5000),
    ("dense", "joint_training"): (2.8, 2.3, 10, 5000),
    ("dense", "from_scratch"): (4.3, 3.9, 10, 0),
}
FEW_SHOT_DIVERGED = {("dense", "fomaml"): 3}  # episodes of each seed, with the fewest shots


@dataclass(frozen=True)
class Experiment:
    """The inputs of `render_report`."""

    leaderboard: pd.DataFrame
    recommendations: dict[str, dict[str, Any]]
    predictions: pd.DataFrame
    histories: pd.DataFrame
    maps: pd.DataFrame
    splits: dict[str, pd.DataFrame]
    images: dict[str, np.ndarray]
    quarantine: pd.DataFrame
    summaries: dict[str, dict[str, Any]]
    environment: dict[str, Any]
    qualities: pd.DataFrame
    pretext_scores: pd.DataFrame
    pretext_histories: pd.DataFrame
    pretext_examples: dict[tuple[str, str], list[Example]]

    def arguments(self) -> dict[str, Any]:
        return dict(vars(self))

    def with_changes(self, **changes: Any) -> Experiment:
        return replace(self, **changes)


def make_experiment(
    classes: dict[str, list[str]],
    shots: dict[str, list[int | None]],
    rows_of_class: dict[str, int],
    methods: dict[tuple[str, str], tuple[float, float, float, int]] | None = None,
    seeds: int = 5,
    trained_seeds: int = 3,
) -> Experiment:
    """Fits that get better with labels and with the representation, and what comes of them."""
    methods = METHODS if methods is None else methods
    rng = np.random.default_rng(0)
    scores, predictions, histories, maps = [], [], [], []
    splits, images, summaries = {}, {}, {}
    for target, names in classes.items():
        k, n = len(names), rows_of_class[target] * len(names)
        labels = np.repeat(np.arange(k), rows_of_class[target])
        test = np.arange(n) % 4 == 0
        splits[target] = pd.DataFrame(
            {
                "target": target,
                "row": np.arange(n),
                "path": [f"{target}/{i:04}.png" for i in range(n)],
                "label": [names[c] for c in labels],
                "class": labels,
                "split": np.where(test, "test", "development"),
            }
        )
        images[target] = _pictures(labels, k, rng)
        summaries[target] = {
            "target": target,
            "read": {"target": n + 7, "source": 3 * n},
            "set_aside": {"target": 3, "source": 0},
            "duplicates_removed": {"within_target": 2, "test_from_source": 2},
            "classes": dict.fromkeys(names, rows_of_class[target]),
            "splits": {"development": int((~test).sum()), "test": int(test.sum())},
        }
        hard = rng.normal(0, 1.0, n)
        for representation in sorted({r for r, _ in methods}):
            spread = {"pixels": 3.0, "pca": 3.0, "random": 4.0}.get(representation, 1.0)
            centers = rng.normal(0, 4.0, (k, 2))
            points = centers[labels] + rng.normal(0, spread, (n, 2))
            maps.append(
                splits[target][["target", "row", "label", "split"]].assign(
                    representation=representation, x=points[:, 0], y=points[:, 1]
                )
            )
        largest = max(s for s in [*shots[target], 0] if s is not None)
        for (representation, method), (few, many, log_seconds, parameters) in methods.items():
            for shot in shots[target]:
                labeled = n * 0.6 if shot is None else shot * k
                share = 1.0 if shot is None else np.log1p(shot) / np.log1p(largest * 6)
                skill = few + (many - few) * share
                for seed in range(seeds if method in PROBES else trained_seeds):
                    probabilities = _probabilities(labels[test], hard[test], skill, k, rng)
                    identity = {
                        "track": "images",
                        "target": target,
                        "representation": representation,
                        "method": method,
                        "shots": shot,
                        "seed": seed,
                        "episode": None,
                    }
                    cost = {
                        "n_train": round(labeled),
                        "n_test": int(test.sum()),
                        "trainable_parameters": parameters,
                        "total_parameters": max(parameters, 3_372_570),
                        "train_seconds": 10 ** (log_seconds + 0.4 * share + rng.normal(0, 0.02)),
                        "peak_memory_bytes": int(2e7 + 100 * parameters),
                    }
                    for split in ("test", "validation"):
                        for name, score in metrics.CLASSIFICATION.items():
                            value = score(probabilities, labels[test])
                            scores.append(
                                {**identity, **cost, "metric": name, "value": value, "split": split}
                            )
                    predictions.append(_predictions(identity, splits[target], probabilities))
                    if method not in PROBES:
                        histories.append(_history(identity, skill, k, rng))
    table = pd.DataFrame(scores).astype({"shots": "Int64", "episode": "Int64"})
    results = table.loc[table["split"] == "test", RESULT_COLUMNS]
    validation = table.loc[table["split"] == "validation", RESULT_COLUMNS]
    board = leaderboard(results)
    nothing = pd.DataFrame(columns=["target", "shots", "name"])
    return Experiment(
        leaderboard=board,
        recommendations=recommend(validation, board),
        predictions=_typed(pd.concat(predictions, ignore_index=True)),
        histories=_typed(pd.concat([*histories, nothing], ignore_index=True)),
        maps=pd.concat(maps, ignore_index=True),
        splits=splits,
        images=images,
        quarantine=pd.DataFrame(
            [
                (target, "target", f"{target}/{name}", reason)
                for target in classes
                for name, reason in (
                    ("broken.jpg", "truncated image"),
                    ("notes.png", "not an image"),
                    ("<b>empty</b>.png", "file is empty"),
                )
            ],
            columns=["target", "role", "path", "reason"],
        ),
        summaries=summaries,
        environment={
            "date": "2026-11-24",
            "processor": "a processor",
            "cores": 2,
            "versions": {"headstart": "0.1.0", "torch": "2.15.0"},
            "configuration": {"seeds": seeds, "shots": shots, "fine_tune": {"steps": 60}},
        },
        **_pretraining(list(classes), [r for r in TASKS if (r, "linear_probe") in methods], rng),
        qualities=pd.DataFrame(
            [
                (target, r, 256, 200, *rng.uniform([5, 0.1, -3], [90, 0.9, -0.2]))
                for target in classes
                for r in sorted({r for r, method in methods if method in PROBES})
            ],
            columns=[
                *["target", "representation", "dimension", "images"],
                *["effective_rank", "alignment", "uniformity"],
            ],
        ),
    )


def _pretraining(targets: list[str], tasks: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """What the pretraining stage leaves: every task on every target's source, one left out."""
    scores, histories = [], []
    examples: dict[tuple[str, str], list[Example]] = {}
    for source in targets if tasks else []:
        for i, task in enumerate(tasks):
            row = {"source": source, "task": task, "score": "accuracy", "architecture": "resnet50"}
            row |= {"value": 0.9 - 0.2 * i, "chance": 0.25, "loss": 0.5, "n_train": 900}
            row |= {"n_heldout": 100, "steps": 300, "epochs": 21.3, "image_size": 48}
            row |= {"total_parameters": 1_240_000, "train_seconds": 75.0}
            scores.append({**row, "peak_memory_bytes": 10**8, "left_out": None})
            for step in (10, 150, 300):
                for name in ("train_loss", "train_score", "heldout_loss", "heldout_score"):
                    value = 2.0 / step + rng.uniform(0, 0.01)
                    histories.append((source, task, step, step // 15, name, value))
            pictures = rng.integers(256, size=(4, 24, 24, 3), dtype=np.uint8)
            captions = [f"{task} <{k}>" for k in range(4)]
            examples[source, task] = [
                Example([a, b], [caption, "said so"])
                for a, b, caption in zip(pictures, pictures[::-1], captions, strict=True)
            ]
        scores.append({"source": source, "task": "supervised", "left_out": "it has no <labels>"})
    return {
        "pretext_scores": pd.DataFrame(scores, columns=list(SCORE_COLUMNS)).astype(SCORE_COLUMNS),
        "pretext_histories": pd.DataFrame(
            histories, columns=["source", "task", "step", "epoch", "name", "value"]
        ),
        "pretext_examples": examples,
    }


def _pictures(labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Gray 48x48 pictures: stripes whose angle is the class, and noise."""
    y, x = np.mgrid[:48, :48] / 48
    angle = np.pi * labels[:, None, None] / classes
    waves = np.sin(30 * (x * np.cos(angle) + y * np.sin(angle)))
    noisy = 128 + 60 * waves + rng.normal(0, 25, waves.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None]


def _probabilities(
    labels: np.ndarray, hard: np.ndarray, skill: float, classes: int, rng: np.random.Generator
) -> np.ndarray:
    logits = rng.normal(0, 1.0, (len(labels), classes))
    signal = 0.1 + 2.8 * skill + 0.7 * np.log(classes) - 1.3 * hard
    logits[np.arange(len(labels)), labels] += np.where(signal > 0, signal, 1.5 * signal)
    exponentials = np.exp(2.5 * (logits - logits.max(axis=1, keepdims=True)))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _predictions(
    identity: dict[str, Any], split: pd.DataFrame, probabilities: np.ndarray
) -> pd.DataFrame:
    test = split[split["split"] == "test"]
    labels = test["class"].to_numpy()
    return pd.DataFrame(
        {
            **{name: [value] * len(test) for name, value in identity.items()},
            "row": test["row"].to_numpy(),
            "label": labels,
            "predicted": probabilities.argmax(axis=1),
            "confidence": probabilities.max(axis=1),
            "p_true": probabilities[np.arange(len(test)), labels],
        }
    )


def _history(
    identity: dict[str, Any], skill: float, classes: int, rng: np.random.Generator
) -> pd.DataFrame:
    steps = np.arange(6, 61, 6)
    fall = np.exp(-steps / 18)
    # Fits with little skill begin to learn by heart: their validation loss turns.
    turn = 0.012 * (1 - skill) * np.maximum(0, steps - 40)
    training = np.log(classes) * fall + 0.02 + rng.normal(0, 0.02, len(steps)) ** 2
    checking = np.log(classes) * ((1 - skill) + skill * fall) + turn
    values = {
        "train_loss": training,
        "validation_loss": checking + rng.normal(0, 0.01, len(steps)),
        "learning_rate": 1e-3 * (1 - steps / 60),
    }
    return pd.concat(
        [
            pd.DataFrame({"step": steps, "epoch": steps // 12, "name": name, "value": value})
            for name, value in values.items()
        ]
    ).assign(**{name: [value] * (3 * len(steps)) for name, value in identity.items()})


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"shots": "Int64"})


@dataclass(frozen=True)
class FewShotTables:
    """The inputs of `render_report` that are about few-shot tasks."""

    results: pd.DataFrame
    leaderboard: pd.DataFrame
    recommendations: dict[str, dict[str, Any]]
    curves: pd.DataFrame
    examples: pd.DataFrame
    trainings: pd.DataFrame

    def arguments(self) -> dict[str, Any]:
        """Of `render_report`, with nothing on other tracks."""
        nothing = pd.DataFrame({"target": [], "role": [], "reason": []})
        return {
            "leaderboard": self.leaderboard,
            "recommendations": self.recommendations,
            "few_shot_curves": self.curves,
            "sinusoid_examples": self.examples,
            "few_shot_trainings": self.trainings,
            "quarantine": nothing,
            **dict.fromkeys(
                ("predictions", "histories", "maps", "pretext_scores", "qualities"), nothing
            ),
            "pretext_histories": nothing,
            **{name: {} for name in ("splits", "images", "summaries", "environment")},
            "pretext_examples": {},
        }


def make_few_shot_tables(episodes: int = 40, seeds: int = 2) -> FewShotTables:
    """Two families with all methods; some episodes of first-order MAML diverge."""
    rng = np.random.default_rng(0)
    results: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    trainings: list[dict[str, Any]] = []
    for target, methods, shots in (
        ("glyphs.5_way", FEW_SHOT_CLASSES, (1, 5)),
        ("sinusoids", FEW_SHOT_SINUSOIDS, (5, 10)),
    ):
        metric = "mse" if target == "sinusoids" else "accuracy"
        luck = rng.normal(0, 1, episodes)  # of an episode, whatever the method
        for key, (before, after, steps, iterations) in methods.items():
            readings = ["support", "query"] if key[0] == "conv4" else ["support"]
            for k, seed, reading in (
                (k, s, r) for k in shots for s in range(seeds) for r in readings
            ):
                identity = {"target": target, "representation": key[0], "method": key[1]}
                identity |= {"shots": k, "seed": seed}
                better = 0.5 if k == shots[-1] else 1.0  # more shots leave half of what is missing
                end = after * better if metric == "mse" else 1 - (1 - after) * better
                end = end + (0.02 if reading == "query" else 0.0)
                course = end + (before - end) * np.exp(-1.2 * np.arange(steps + 1))
                noise = 0.4 if metric == "mse" else 0.06
                scores = course[:, None] + noise * 0.6 * luck + rng.normal(0, noise * 0.3, episodes)
                scores = np.clip(scores, 0.02, None if metric == "mse" else 1.0)
                diverged = FEW_SHOT_DIVERGED.get(key, 0) if k == shots[0] else 0
                scores[2:, :diverged] = np.inf
                cost = {
                    "n_train": k * 5,
                    "n_test": 75,
                    "trainable_parameters": 28_000 if iterations else 0,
                    "total_parameters": 28_000,
                    "train_seconds": 0.01 * iterations,
                    "peak_memory_bytes": 40_000_000 if iterations else None,
                }
                name = "accuracy_transductive" if reading == "query" else metric
                results += [
                    {"track": "few_shot", **identity, "episode": e, "metric": name, "value": v}
                    | cost
                    for e, v in enumerate(scores[-1])
                ]
                for step, values in enumerate(scores):
                    interval = mean_interval(values)
                    broken = int(np.isinf(values).sum())
                    curves.append(
                        {**identity, "reading": reading, "metric": metric, "step": step}
                        | {"mean": interval.mean, "low": interval.low, "high": interval.high}
                        | {"episodes": episodes, "diverged": broken}
                    )
                if reading == readings[0]:
                    trainings.append(
                        {**identity, "iterations": iterations, "batch_size": 16 * bool(iterations)}
                        | {"train_seconds": cost["train_seconds"], "validation": end}
                        | {"peak_memory_bytes": cost["peak_memory_bytes"]}
                    )
    table = pd.DataFrame(results, columns=RESULT_COLUMNS)
    table = table.astype({"shots": "Int64", "episode": "Int64"})
    board = leaderboard(table)
    return FewShotTables(
        results=table,
        leaderboard=board,
        recommendations=recommend(table.assign(chosen="{}"), board),
        curves=pd.DataFrame(curves),
        examples=_sinusoids(rng),
        trainings=pd.DataFrame(trainings),
    )


def _sinusoids(rng: np.random.Generator) -> pd.DataFrame:
    """Two sinusoids each with 5 and 10 points."""
    x = np.linspace(-5, 5, 60)
    parts = []
    for shots in (5, 10):
        for episode in (0, 1):
            amplitude, phase = rng.uniform(1, 5), rng.uniform(0, np.pi)
            identity = {"shots": shots, "seed": 0, "episode": episode}
            truth = amplitude * np.sin(x - phase)
            points = rng.uniform(-5, 5, shots)
            support = {"x": points, "y": amplitude * np.sin(points - phase)}
            parts.append(pd.DataFrame({"x": x, "y": truth, "method": "truth", "step": 0}))
            parts.append(pd.DataFrame({**support, "method": "support", "step": 0}))
            for i, (_, method) in enumerate(FEW_SHOT_SINUSOIDS):
                for step in (0, 1, 10):
                    share = (1 - np.exp(-1.5 * step)) * (1 - 0.15 * i)
                    y = share * truth + (1 - share) * 0.5 * np.sin(x)
                    parts.append(pd.DataFrame({"x": x, "y": y, "method": method, "step": step}))
            parts[-(3 * len(FEW_SHOT_SINUSOIDS) + 2) :] = [
                part.assign(**identity) for part in parts[-(3 * len(FEW_SHOT_SINUSOIDS) + 2) :]
            ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def few_shot() -> FewShotTables:
    """Classes of glyphs and sinusoids, two seeds of meta-training."""
    return make_few_shot_tables()


@pytest.fixture(scope="session")
def experiment() -> Experiment:
    """Two targets like the default ones: two classes and forty."""
    return make_experiment(
        classes={
            "solar_cells": ["defective", "sound"],
            "faces": [f"person {i:02}" for i in range(40)],
        },
        shots={"solar_cells": [1, 5, 20, None], "faces": [1, 3, None]},
        rows_of_class={"solar_cells": 400, "faces": 10},
    )


@pytest.fixture(scope="session")
def build() -> Callable[..., Experiment]:
    """For experiments of other shapes."""
    return make_experiment
