"""How time and memory grow with the source: the same run on 1, 10 and 100 times as many images.

    uv run python benchmarks/growing_source.py --plot docs/images/growing_source.png

Each size is a folder of made color images, 64 pixels a side, of which a pretext task learns for one
epoch; the target stays the same. Ingestion, pretraining and the representations run as by `kedro
run --pipelines ingestion,pretraining,representation`, a process each. Memory is what the process
and its workers hold for themselves (anonymous pages): mapped files are the system's to drop.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import yaml
from PIL import Image
from tqdm import tqdm

STAGES = ("ingestion", "pretraining", "representation")
SIDE = 64
TARGET, CLASSES = 200, 4  # images and classes of the target


def write_images(folder: Path, count: int, classes: int, seed: int) -> None:
    """Smooth random color images as PNG, no two alike, in as many sub-folders as classes."""
    rng = np.random.default_rng(seed)
    for number in tqdm(range(count), desc=f"{folder.name}: draw", unit="img", leave=False):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = folder / f"class_{number % classes}" / f"{number:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, compress_level=1)


def configure(place: Path, source: Path, target: Path) -> Path:
    """The project's configuration with this source and target, its data in `place`."""
    conf = place / "conf"
    shutil.copytree(Path("conf"), conf, ignore=shutil.ignore_patterns("local"))
    folder = {"type": "headstart.datasets.ImageFolderDataset"}
    once = {"epochs": 1, "steps": 10**9, "evaluations": 1}
    files = {
        "globals": {"data": str(place / "data")},
        "catalog": {
            "grown.source": {**folder, "filepath": str(source), "labelled": False},
            "grown.target": {**folder, "filepath": str(target)},
        },
        "parameters": {
            "targets": ["grown"],
            "few_shot": {"families": []},
            "representations": ["pca", "rotation"],
            "methods": ["linear_probe"],
            "fine_tuned": [],
            "draws": {"shots": [5]},
            "pretraining": {"rotation": {"training": once}},
        },
    }
    (conf / "local").mkdir()
    for name, content in files.items():
        (conf / "local" / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return conf


def anonymous_bytes(process: psutil.Process) -> int:
    """Memory that no file stands behind, of a process and all its workers."""
    try:
        everyone = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0  # it has just ended
    total = 0
    for one in everyone:
        try:
            status = Path(f"/proc/{one.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        lines = (line for line in status.splitlines() if line.startswith("RssAnon:"))
        total += sum(int(line.split()[1]) * 1024 for line in lines)
    return total


def run_stage(stage: str, conf: Path) -> tuple[float, int]:
    """Seconds and peak bytes of one stage."""
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", stage]
    started, peak = time.monotonic(), 0
    with subprocess.Popen([*command, "--conf-source", str(conf)]) as running:
        process, ended = psutil.Process(running.pid), threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.05):
                peak = max(peak, anonymous_bytes(process))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = running.wait()
        ended.set()
        watcher.join()
    if code:
        raise SystemExit(f"{stage} ended with exit code {code}.")
    return time.monotonic() - started, peak


def plot(table: pd.DataFrame, file: Path) -> None:
    """Time and memory against the number of images."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    # Linear axes for time, so that a straight line is what it looks like; sizes of memory apart.
    for stage, rows in table.groupby("stage", sort=False):
        left.plot(rows["images"], rows["seconds"], "o-", label=stage)
        right.plot(rows["images"], rows["peak_bytes"] / 1e6, "o-", label=stage)
    for axes, unit in ((left, "seconds"), (right, "peak memory, MB")):
        axes.set(xlabel="images of the source", ylabel=unit, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    left.xaxis.set_major_formatter("{x:,.0f}")
    right.set(xscale="log")
    left.legend(frameon=False)
    plt.savefig(file, dpi=110)


def main() -> None:
    """Run every size, print the table, draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, nargs="+", default=[500, 5_000, 50_000])
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    rows = []
    for images in chosen.images:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            write_images(place / "source", images, 1, seed=0)
            write_images(place / "target", TARGET, CLASSES, seed=1)
            conf = configure(place, place / "source", place / "target")
            for stage in STAGES:
                seconds, peak = run_stage(stage, conf)
                rows.append(
                    {"images": images, "stage": stage, "seconds": seconds, "peak_bytes": peak}
                )
                print(f"{images} images, {stage}: {seconds:.1f} s, {peak / 1e6:.0f} MB", flush=True)
    table = pd.DataFrame(rows)
    print(table.pivot(index="stage", columns="images", values="seconds").round(1).to_string())
    megabytes = table.assign(megabytes=table["peak_bytes"] / 1e6)
    print(megabytes.pivot(index="stage", columns="images", values="megabytes").round().to_string())
    if chosen.plot:
        plot(table, chosen.plot)


if __name__ == "__main__":
    main()
