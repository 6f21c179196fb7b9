"""A run that is killed at a random moment and started again gives the same results.

    uv run python benchmarks/kills.py --kills 50 --folder /tmp/kills --table kills.csv

A small experiment of the test environment is run once without a disturbance. Then, as often as
asked for: from empty data, the same command is killed (SIGKILL) at a moment drawn evenly over the
time that the undisturbed run took, and started once more. Every second kill hits the process alone,
the others all of its workers at once. The same results are the same rows of results.parquet, bit
for bit, in all columns but the two that are measured anew, train_seconds and peak_memory_bytes;
and nothing half written is left. A row is written for every kill, and the script goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
MEASURED = ["train_seconds", "peak_memory_bytes"]
RUN = [sys.executable, "-m", "kedro", "run", "--env", "test"]
EXPERIMENT = """
targets: [faces]
representations: [rotation]
methods: [linear_probe, fine_tune, from_scratch]
fine_tuned: [rotation]
few_shot: {families: []}
"""
COLUMNS = ["kill", "moment", "of_seconds", "killed", "node", "restart_seconds", "equal"]


def copy_project(folder: Path) -> Path:
    """The project with the small experiment, and without data."""
    if not folder.exists():
        beside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        for name in ("conf", "src"):
            ignored = shutil.ignore_patterns("local", "__pycache__")
            shutil.copytree(ROOT / name, beside / name, ignore=ignored)
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(ROOT / name, beside / name)
        (beside / "conf/test/parameters.yml").write_text(EXPERIMENT)
        beside.rename(folder)
    return folder


def start(project: Path) -> subprocess.Popen[bytes]:
    """Start the run; what it says goes into run.log."""
    with (project / "run.log").open("wb") as log:
        return subprocess.Popen(RUN, cwd=project, stdout=log, stderr=log, start_new_session=True)


def finish(project: Path) -> float:
    """Run to the end; seconds."""
    started = time.monotonic()
    if start(project).wait():
        raise SystemExit((project / "run.log").read_text()[-3000:])
    return time.monotonic() - started


def results_of(project: Path) -> pd.DataFrame:
    """The results without what is measured anew each time."""
    path = project / "data/test/08_reporting/results.parquet"
    return pd.read_parquet(path).drop(columns=MEASURED)


def kill(project: Path, moment: float, *, workers: bool) -> str | None:
    """Start the run from empty data and kill it; the node under way, None: it had ended."""
    shutil.rmtree(project / "data", ignore_errors=True)
    run = start(project)
    try:
        run.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        (os.killpg if workers else os.kill)(run.pid, signal.SIGKILL)
        run.wait()
        begun = re.findall(r"^\d+/\d+ (\S+) \(", (project / "run.log").read_text(), re.MULTILINE)
        return str(begun[-1]) if begun else "start"
    return None


def disturb(number: int, project: Path, undisturbed: Path, seconds: float) -> dict[str, object]:
    """One kill and one restart."""
    rng = random.Random(number)
    workers = bool(number % 2)
    while True:
        moment, started = rng.uniform(0, seconds), time.monotonic()
        node = kill(project, moment, workers=workers)
        if node is not None:
            break
        seconds = min(seconds, time.monotonic() - started)  # the machine is less busy now
    restart = finish(project)
    left = [*project.glob("data/**/*.partial"), *project.glob("data/**/*.old")]
    return {
        **{"kill": number, "moment": round(moment, 2), "of_seconds": round(seconds, 1)},
        **{"killed": "all" if workers else "one", "node": node},
        "restart_seconds": round(restart, 1),
        "equal": results_of(project).equals(results_of(undisturbed)) and not left,
    }


def main() -> None:
    """Kill so often, and count."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--folder", type=Path, required=True, help="of the two projects")
    arguments.add_argument("--table", type=Path, required=True, help="CSV, a row a kill")
    given = arguments.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    undisturbed, killed = (copy_project(given.folder / n) for n in ("undisturbed", "killed"))
    took = undisturbed / "seconds"
    if not took.exists():
        shutil.rmtree(undisturbed / "data", ignore_errors=True)
        took.write_text(str(finish(undisturbed)))
    if not given.table.exists():
        pd.DataFrame(columns=COLUMNS).to_csv(given.table, index=False)
    for number in range(len(pd.read_csv(given.table)), given.kills):
        row = disturb(number, killed, undisturbed, float(took.read_text()))
        pd.DataFrame([row]).to_csv(given.table, mode="a", header=False, index=False)
        print(row, flush=True)
    table = pd.read_csv(given.table)
    print(f"{int(table['equal'].sum())} of {len(table)} runs ended with the same results")
    if not table["equal"].all():
        sys.exit(1)


if __name__ == "__main__":
    main()
