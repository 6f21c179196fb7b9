"""The published Omniglot protocol (Finn et al. 2017; Snell et al. 2017), in the time that there is.

    uv run python benchmarks/omniglot.py train --method maml --ways 5 --shots 1 --minutes 25
    uv run python benchmarks/omniglot.py table

Each call of `train` meta-trains one method on one setting with as many iterations as fit into so
many minutes of one thread's processor time (a few are timed first), scores it on 600 meta-test
episodes for each reading of batch norm and appends a row to the table. Killed and started again
with the same arguments, it goes on from its last checkpoint.

Conv-4 with 64 filters on 28 x 28 pixels; 1,100 characters to learn from, 100 left for validation
and 423 to test on, each with its three quarter turns as further classes, drawn by this project's
ingestion. Gradient methods halve by strides, as Finn et al. do, metric methods by pooling, as
Snell et al. do. Meta-batches, inner steps, step sizes, and queries of meta-training are the
published ones. One thing differs: the learning rate falls as half a cosine over the iterations
there are, where the authors keep it constant over 60,000 (MAML) or halve it every 2,000.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from headstart.datasets import ImageFolderDataset, ImageStoreDataset
from headstart.datasets.atomic import replace_whole
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool
from headstart.learning.meta_learning.evaluation import evaluate_episodes
from headstart.learning.meta_learning.meta_training import meta_objective, meta_train
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.parameters import Conv4Parameters
from headstart.learning.meta_learning.registry import (
    METHOD_PARAMETERS,
    METRIC_METHODS,
    build_method,
)
from headstart.learning.training import TrainingData
from headstart.pipelines.ingestion.few_shot_nodes import decode_family, screen_family, split_family
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters

EPISODES, QUERIES, TEST_SEED = 600, 15, 1_000_000
TIMED = 6  # iterations that are timed, the first of which does not count
FAMILY = "omniglot"
INGESTION = FewShotIngestionParameters(
    image_size=28,
    resize="stretch",
    gray=True,
    dark_on_light=(FAMILY,),
    turned=(FAMILY,),
    chunk_size=1024,
    max_bad_share=0.01,
    min_examples=10,
    min_classes=20,
    validation_share=100 / 1623,
    test_share=423 / 1623,
    split_groups=(FAMILY,),
    split_seed=0,
)
# Percent right, by method, ways and shots. MAML's are read transductively, prototypical networks'
# with running statistics.
PUBLISHED = {
    ("maml", 5, 1): 98.7,
    ("maml", 5, 5): 99.9,
    ("maml", 20, 1): 95.8,
    ("maml", 20, 5): 98.9,
    ("prototypical", 5, 1): 98.8,
    ("prototypical", 5, 5): 99.7,
    ("prototypical", 20, 1): 96.0,
    ("prototypical", 20, 5): 98.9,
}
PUBLISHED_ITERATIONS = 60_000  # of MAML; Snell et al. stop when the validation loss does


@dataclass(frozen=True)
class Setting:
    """One method on one kind of episode."""

    method: str
    ways: int
    shots: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.method}_{self.ways}_way_{self.shots}_shot"

    def parameters(self, iterations: int) -> Any:
        """Of the method: what was published."""
        many = self.ways > 5
        steps, step_size, tasks = (5, 0.1, 16) if many else (1, 0.4, 32)
        gradient = {"step_size": step_size, "test_steps": max(3, steps)}
        # What of the published settings each method needs, and the size of a batch.
        method, batch = {
            "maml": ({"steps": steps, **gradient}, tasks),
            "fomaml": ({"steps": steps, "order": "first", **gradient}, tasks),
            "anil": ({"steps": steps, **gradient}, tasks),
            "joint_training": (gradient, tasks),
            "reptile": (
                {"steps": 5, "step_size": 0.01, "examples": 2 * self.ways, "test_steps": 50},
                5,
            ),
            "prototypical": ({}, 1),
            "pooled_pretraining": ({"scale": 10.0, "step_size": 0.1, "test_steps": 50}, 128),
            "from_scratch": ({"step_size": 0.1, "test_steps": 50}, 0),
        }[self.method]
        # Measured: some 100 images at once are the fastest, and no more than 8 tasks.
        at_once = min(8, max(1, 100 // (self.ways * self.shots)))
        values: dict[str, Any] = {**method, "tasks_at_once": at_once}
        if self.method == "pooled_pretraining":
            del values["tasks_at_once"]
        if batch:
            values["training"] = TrainingParameters(
                steps=iterations,
                epochs=iterations if self.method == "pooled_pretraining" else 1,
                batch_size=batch,
                learning_rate=1e-3,
                schedule="cosine",
                warmup_share=0.0,
                clip_norm=None,
                evaluations=20,
            )
        return METHOD_PARAMETERS[self.method].model_validate(values)

    def network(self) -> Conv4Parameters:
        """Of the network."""
        pool = self.method in METRIC_METHODS
        return Conv4Parameters(filters=64, downsampling="pool" if pool else "stride")

    def families(self, pool: ClassPool, splits: pd.Series) -> tuple[ClassEpisodes, ClassEpisodes]:
        """Meta-training and meta-test episodes.

        Prototypical networks are trained with 60 ways and 5 queries a class, MAML with as many
        queries as shots.
        """
        train, test = (splits.index[splits == s].to_numpy() for s in ("meta_train", "meta_test"))
        ways, queries = (60, 5) if self.method == "prototypical" else (self.ways, self.shots)
        return (
            ClassEpisodes(pool, train, ways, self.shots, queries),
            ClassEpisodes(pool, test, self.ways, self.shots, QUERIES),
        )


def read_drawings(data: Path, folder: Path, compute: ComputeParameters) -> tuple[ClassPool, Any]:
    """The drawings with their quarter turns, decoded once, and the split of each class.

    Args:
        data: holds images_background/ALPHABET/CHARACTER/*.png and images_evaluation likewise,
            as torchvision's omniglot-py does.
        folder: where the decoded images are kept.
        compute: of the machine.
    """
    store = ImageStoreDataset(filepath=str(folder / "images"))
    if not store.exists():
        raw = ImageFolderDataset(filepath=str(data), label_folders=(2, 3), pattern="*.png").load()
        store.save(decode_family(FAMILY, raw, INGESTION, compute))
    images = store.load()
    rows, aside, counts = screen_family(FAMILY, images, INGESTION)
    classes, examples, _ = split_family(FAMILY, rows, aside, counts, INGESTION)
    pixels = np.moveaxis(images.images[examples["row"].to_numpy()], 3, 1)
    pool = ClassPool(FAMILY, np.ascontiguousarray(pixels), examples["class"].to_numpy())
    return pool, classes.set_index("class")["split"]


def seconds_of_an_iteration(method: Method, data: TrainingData, training: Any) -> float:
    """Processor time, the median of a few; the method's weights stay as they are."""
    seconds = []
    for step in range(TIMED):
        started = time.process_time()
        batch = data.load(
            np.arange(step * training.batch_size, (step + 1) * training.batch_size) % data.size,
            torch.Generator(),
        )
        meta_objective(method, batch)[0].backward()
        method.zero_grad()
        seconds.append(time.process_time() - started)
    return float(np.median(seconds[1:]))


def planned_iterations(
    setting: Setting, family: ClassEpisodes, minutes: float, seed: int, file: Path
) -> int:
    """As many as fit into the minutes; written down, so that a resumed training has as many."""
    if file.exists():
        return int(json.loads(file.read_text())["iterations"])
    parameters = setting.parameters(iterations=TIMED)
    method = build_method(setting.method, parameters, setting.network(), family, seed)
    data = method.training_data(family, parameters.training, seed)
    cost = seconds_of_an_iteration(method, data, parameters.training)
    iterations = max(1, int(60 * minutes / cost))
    with replace_whole(file) as beside:
        beside.write_text(json.dumps({"iterations": iterations, "seconds": cost}))
    return iterations


def files_of(chosen: argparse.Namespace) -> Path:
    """The folder of what a training needs to go on."""
    name = Setting(chosen.method, chosen.ways, chosen.shots).name
    budget = (
        f"{chosen.iterations}_iterations" if chosen.iterations else f"{chosen.minutes:g}_minutes"
    )
    return chosen.csv.with_suffix(".files") / f"{name}_{budget}_seed_{chosen.seed}"


def train_and_score(chosen: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    setting = Setting(chosen.method, chosen.ways, chosen.shots)
    compute = ComputeParameters(device=chosen.device, progress=chosen.progress)
    folder = chosen.csv.with_suffix(".files")
    here = files_of(chosen)
    pool, splits = read_drawings(chosen.data, folder, compute)
    family, test = setting.families(pool, splits)
    iterations, seconds, processor = 0, 0.0, 0.0
    if setting.method != "from_scratch":
        iterations = chosen.iterations or planned_iterations(
            setting, family, chosen.minutes, chosen.seed, here / "plan.json"
        )
    parameters = setting.parameters(max(1, iterations))
    method = build_method(setting.method, parameters, setting.network(), family, chosen.seed)
    if iterations:
        data = method.training_data(family, parameters.training, chosen.seed)
        started = time.process_time()
        result = meta_train(
            method,
            data,
            training=parameters.training,
            compute=compute,
            seed=chosen.seed,
            checkpoint=CheckpointFolder(here),
            signature=make_signature(setting, parameters, INGESTION),
            description=setting.name,
        )
        seconds = result.seconds
        # Of a training that was resumed this process saw a part alone.
        share = (seconds - result.seconds_before) / seconds
        processor = (time.process_time() - started) / share if share else float("nan")
    row: dict[str, Any] = {
        "method": setting.method,
        "ways": setting.ways,
        "shots": setting.shots,
        "seed": chosen.seed,
        "iterations": iterations,
        "tasks": iterations * parameters.training.batch_size if iterations else 0,
        "processor_minutes": processor / 60,
        "wall_minutes": seconds / 60,
        "episodes": chosen.episodes,
        "test_steps": getattr(parameters, "test_steps", 0),
    }
    method.eval()
    for reading in method.readings:
        scores = evaluate_episodes(
            method,
            test,
            episodes=chosen.episodes,
            seed=TEST_SEED,
            steps=row["test_steps"],
            reading=reading,
        )
        interval = scores.interval()
        row |= {reading: interval.mean, f"{reading}_half": (interval.high - interval.low) / 2}
    row["published"] = PUBLISHED.get((setting.method, setting.ways, setting.shots), float("nan"))
    row["unfinished"] = 0 < iterations < PUBLISHED_ITERATIONS
    return row


def append(row: dict[str, Any], csv: Path) -> None:
    """Write the table with one row more, whole or not at all."""
    table = pd.DataFrame([row])
    if csv.exists():
        table = pd.concat([pd.read_csv(csv), table], ignore_index=True)
    with replace_whole(csv) as beside:
        table.to_csv(beside, index=False)


def as_markdown(table: pd.DataFrame) -> str:
    """The table for the docs: percent right, with 95% intervals over the episodes."""
    readings = {"query": "transductive", "support": "by the support set", "running": "running"}
    lines = [
        "| method | episodes | iterations | processor minutes | "
        + " | ".join(readings.values())
        + " | published |",
        "| --- " * (5 + len(readings)) + "|",
    ]
    for row in table.sort_values(["ways", "shots", "method"], kind="stable").to_dict("records"):
        scores = [
            "" if pd.isna(row.get(r)) else f"{100 * row[r]:.1f} ± {100 * row[f'{r}_half']:.1f}"
            for r in readings
        ]
        mark = " (unfinished)" if row["unfinished"] else ""
        published = "" if pd.isna(row["published"]) else f"{row['published']:.1f}"
        cells = [
            f"`{row['method']}`",
            f"{row['ways']}-way {row['shots']}-shot",
            f"{row['iterations']:,}{mark}",
            f"{row['processor_minutes']:.1f}",
            *scores,
            published,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train one method, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(required=True, dest="command")
    train = commands.add_parser("train", help="train one method on one setting, add a row")
    train.add_argument("--method", required=True)
    train.add_argument("--ways", type=int, default=5)
    train.add_argument("--shots", type=int, default=1)
    train.add_argument("--minutes", type=float, default=25.0, help="of processor time")
    train.add_argument("--iterations", type=int, help="instead of minutes; published: 60000")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--episodes", type=int, default=EPISODES, help="of meta-test")
    train.add_argument("--data", type=Path, default=Path("data/01_raw/omniglot-py"))
    train.add_argument("--device", default="cpu")
    train.add_argument("--progress", action="store_true")
    table = commands.add_parser("table", help="print the table in Markdown")
    for command in (train, table):
        command.add_argument("--csv", type=Path, default=Path("omniglot.csv"))
    chosen = parser.parse_args()
    if chosen.command == "train":
        torch.set_num_threads(1)
        row = train_and_score(chosen)
        append(row, chosen.csv)
        CheckpointFolder(files_of(chosen)).clear()
        print(json.dumps(row), flush=True)
    else:
        print(as_markdown(pd.read_csv(chosen.csv)))


if __name__ == "__main__":
    main()
