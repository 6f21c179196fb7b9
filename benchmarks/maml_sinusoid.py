"""The published sinusoid experiment of MAML (Finn et al. 2017, section 5.1).

    uv run python benchmarks/maml_sinusoid.py --iterations 70000 --seeds 5 --csv sinusoids.csv

25 tasks a step, Adam 1e-3, one inner step of 0.01 on K points, 600 test tasks; beside it the
baseline, pretraining on the pooled tasks. All seeds are trained as one program: run r has a slice
of every weight, its own initial weights and its own tasks, and since the loss is the sum of the
runs' losses, and Adam works on each number alone, no run knows of another.

Killed and started again, it goes on from the last checkpoint (a folder beside the table). The
table has a row for each K, method, seed and number of steps, and is printed at the end.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.evaluation import evaluate_episodes
from headstart.learning.meta_learning.maml import Maml, query_losses
from headstart.learning.meta_learning.meta_training import meta_train
from headstart.learning.meta_learning.method import TaskLosses
from headstart.learning.meta_learning.parameters import MamlParameters, SinusoidNetworkParameters
from headstart.learning.meta_learning.problems import REGRESSION
from headstart.learning.meta_learning.registry import build_network
from headstart.learning.meta_learning.sinusoid_network import SinusoidNetwork
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.learning.training import TrainingData

TASKS, TEST_TASKS, TEST_QUERIES, TEST_SEED = 25, 600, 100, 1_000_000
METHODS = {"maml": 1, "pretraining": 0}  # inner steps in meta-training
STEPS = (0, 1, 5, 10)


class StackedRuns(Maml):
    """R runs of MAML side by side: weights are (R, ...), episodes (T, R, n, ...)."""

    def __init__(self, networks: list[SinusoidNetwork], parameters: MamlParameters):
        super().__init__(networks[0], REGRESSION, parameters)
        for name in list(self.network.weights):
            slices = [network.weights[name].detach() for network in networks]
            self.network.weights[name] = nn.Parameter(torch.stack(slices))

    def task_losses(self, episodes: Episodes) -> TaskLosses:
        """Losses of T tasks, summed over the runs."""
        shape = episodes.support_x.shape[:2]
        flat = Episodes(*(t.flatten(0, 1) for t in episodes))
        stacked = self.network.stacked(shape[0])
        result = query_losses(
            self.support_loss(flat.support_x, flat.support_y),
            self.network,
            self.problem,
            {name: w.flatten(0, 1) for name, w in stacked.items()},
            flat.query_x,
            flat.query_y,
            self.step_size,
            self.steps,
            self.order,
        )
        return result._replace(
            losses=result.losses.view(shape).sum(1), scores=result.scores.view(shape).mean(1)
        )


def train_runs(
    method: str, shots: int, seeds: range, iterations: int, compute: ComputeParameters, folder: Path
) -> tuple[StackedRuns, MamlParameters]:
    """All seeds of one method and K."""
    parameters = MamlParameters(
        steps=METHODS[method],
        step_size=0.01,
        test_steps=max(STEPS),
        tasks_at_once=TASKS,
        training=TrainingParameters(
            **{"steps": iterations, "epochs": 1, "batch_size": TASKS, "learning_rate": 1e-3},
            **{"schedule": "constant", "warmup_share": 0.0, "clip_norm": None, "evaluations": 20},
        ),
    )
    network = SinusoidNetworkParameters()
    runs = StackedRuns(
        [build_network(network, channels=1, outputs=1, inner_steps=0, seed=s) for s in seeds],
        parameters,
    )
    family = Sinusoids(shots, shots)

    def load(indices: np.ndarray, _: torch.Generator) -> Episodes:
        drawn = [family.episodes(seed, indices) for seed in seeds]
        return Episodes(*(torch.stack(parts, dim=1) for parts in zip(*drawn, strict=True)))

    meta_train(
        runs,
        TrainingData(size=iterations * TASKS, load=load, shuffle=False),
        training=parameters.training,
        compute=compute,
        seed=0,
        checkpoint=CheckpointFolder(folder / f"{method}_{shots}"),
        signature=make_signature(method, shots, list(seeds), parameters),
        description=f"{method}, K = {shots}",
    )
    return runs, parameters


def score_runs(
    runs: StackedRuns, parameters: MamlParameters, shots: int, seeds: range
) -> list[dict[str, float]]:
    """Mean squared error on the test tasks, a row a seed and number of steps."""
    rows = []
    for place, seed in enumerate(seeds):
        network = SinusoidNetwork()
        network.load_state_dict({n: t[place] for n, t in runs.network.state_dict().items()})
        scores = evaluate_episodes(
            Maml(network, REGRESSION, parameters),
            Sinusoids(shots, TEST_QUERIES),
            episodes=TEST_TASKS,
            seed=TEST_SEED,
            steps=max(STEPS),
            tasks_at_once=TEST_TASKS,
        )
        for step in STEPS:
            interval = scores.interval(step)
            rows.append(
                {
                    **{"seed": seed, "step": step, "mse": interval.mean},
                    **{"low": interval.low, "high": interval.high},
                    "diverged": not interval.mean <= scores.interval(0).mean,
                }
            )
    return rows


def print_summary(table: pd.DataFrame) -> None:
    """Every seed, then the medians; a run diverged where it is worse than before any step."""
    table = table[table["step"] > 0]
    keys = ["method", "shots", "step"]
    print(table.pivot(index=keys, columns="seed", values="mse").round(3).to_string())
    grouped = table.groupby(keys)
    summary = grouped["mse"].agg(median="median", least="min", greatest="max").round(3)
    summary["diverged"] = grouped["diverged"].sum().astype(str) + f" of {table['seed'].nunique()}"
    print(summary.to_string())


def main() -> None:
    """Train what the table does not have yet, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--iterations", type=int, default=70_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--csv", type=Path, default=Path("maml_sinusoid.csv"))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--progress", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(chosen.seeds)
    compute = ComputeParameters(
        device="cpu", compile=not chosen.no_compile, progress=chosen.progress
    )
    identity = ["method", "shots", "iterations", "seeds"]
    table = pd.read_csv(chosen.csv) if chosen.csv.exists() else pd.DataFrame(columns=identity)
    folder = chosen.csv.with_suffix(".checkpoints")
    for shots in chosen.shots:
        for method in METHODS:
            key = [method, shots, chosen.iterations, chosen.seeds]
            if (table[identity] == key).all(axis=1).any():
                continue
            started = time.monotonic()
            trained = train_runs(method, shots, seeds, chosen.iterations, compute, folder)
            rows = pd.DataFrame(score_runs(*trained, shots, seeds))
            rows = pd.DataFrame([dict(zip(identity, key, strict=True))] * len(rows)).join(rows)
            table = rows if table.empty else pd.concat([table, rows], ignore_index=True)
            beside = chosen.csv.with_suffix(".partial")
            table.to_csv(beside, index=False)
            beside.replace(chosen.csv)
            print(f"{method}, K = {shots}: {time.monotonic() - started:.0f} s", flush=True)
    same = (table["iterations"] == chosen.iterations) & (table["seeds"] == chosen.seeds)
    print_summary(table[same & table["shots"].isin(chosen.shots)])


if __name__ == "__main__":
    main()
