"""Airflow itself, in an environment of its own, runs the DAG; a task is killed and retried.

Takes some minutes: `uv run pytest -m own_environment tests/orchestration`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from ..own_environment import run, with_packages

ROOT = Path(__file__).parents[2]
AIRFLOW = "apache-airflow==3.3.2"
CHECKPOINT = "data/test/06_models/checkpoints/pretraining/faces/rotation/training.safetensors"
IMPORT_ERRORS = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(json.dumps({"errors": bag.import_errors, "dags": list(bag.dags)}))
"""

pytestmark = pytest.mark.own_environment


def write(project: Path, name: str, content: dict[str, object]) -> None:
    file = project / "conf" / "test" / name
    before = yaml.safe_load(file.read_text()) if file.exists() else {}
    file.write_text(yaml.safe_dump({**before, **content}))


def make_small(project: Path) -> None:
    """One pretext task, that takes long enough to be killed in its middle, and one probe on it."""
    write(
        project,
        "parameters.yml",
        {"representations": ["rotation"], "methods": ["linear_probe", "from_scratch"]}
        | {"fine_tuned": []},
    )
    rotation = {"training": {"steps": 120, "batch_size": 16, "evaluations": 1}}
    before = yaml.safe_load((project / "conf/test/parameters_pretraining.yml").read_text())
    write(
        project,
        "parameters_pretraining.yml",
        {"pretraining": {**before["pretraining"], "rotation": rotation}},
    )
    write(project, "parameters_compute.yml", {"compute": {"checkpoint_seconds": 0.2}})


def steps_done(checkpoint: Path) -> int:
    """Out of the file's header, read through one handle: the file is replaced all the time."""
    try:
        with checkpoint.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except FileNotFoundError:
        return 0
    kept = json.loads(header["__metadata__"]["checkpoint"])
    return int(kept["metadata"]["progress"]["step"])


def kill_training(airflow: subprocess.Popen[bytes], checkpoint: Path) -> int:
    """Kill -9 the process that trains, once there is something to go on from; its step."""
    while (step := steps_done(checkpoint)) < 10:
        assert airflow.poll() is None, "Airflow ended before the training was under way"
        time.sleep(0.05)
    (trains,) = [
        child
        for child in psutil.Process(airflow.pid).children(recursive=True)
        if "pretraining.faces.rotation.pretrain" in child.cmdline() and not child.children()
    ]
    os.kill(trains.pid, signal.SIGKILL)
    return step


def test_a_dag_run_with_a_killed_task_ends_with_the_results_of_a_plain_run(
    kedro, project, tmp_path
):
    shutil.copytree(ROOT / "orchestration", project / "orchestration")
    make_small(project)
    plain = shutil.copytree(project, tmp_path / "plain")
    done = kedro(plain, "run", "--env", "test")
    assert done.returncode == 0, done.stderr

    dags = tmp_path / "dags"
    settings = {
        "project_path": str(project),
        "command": f"{sys.executable} -m kedro run",
        "retry_delay": 0,
        "gpu": {"pool": "default_pool"},
    }
    write(project, "airflow.yml", {"default": settings})
    template = ("-j", "orchestration/dag.py.j2")
    done = kedro(project, "airflow", "create", "-e", "test", *template, "-t", str(dags))
    assert done.returncode == 0, done.stderr

    commands = with_packages(tmp_path / "environment", AIRFLOW)
    variables = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    run(commands / "airflow", "db", "migrate", cwd=tmp_path, **variables)
    seen = run(commands / "python", "-c", IMPORT_ERRORS, str(dags), cwd=tmp_path, **variables)
    assert json.loads(seen.splitlines()[-1]) == {"errors": {}, "dags": ["headstart_test"]}

    log = tmp_path / "dag_run.log"
    with log.open("wb") as file:
        airflow = subprocess.Popen(
            [commands / "airflow", "dags", "test", "headstart_test"],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            step = kill_training(airflow, project / CHECKPOINT)
            assert airflow.wait() == 0, log.read_text()[-5000:]
        finally:
            if airflow.poll() is None:
                airflow.kill()
    said = log.read_text()
    assert "state=success" in said
    assert "Command exited with return code -9" in said
    (after,) = [
        line.split("goes on after step ")[1] for line in said.splitlines() if "goes" in line
    ]
    assert int(after.split(".")[0]) >= step
    # The last task, the plain command, had nothing left to do.
    last = said[said.index("starting task_id=whole_run") :]
    assert "nodes were unchanged" in last
    assert "(new)" not in last
    results = [
        pd.read_parquet(folder / "data/test/08_reporting/results.parquet").drop(
            columns=["train_seconds", "peak_memory_bytes"]
        )
        for folder in (project, plain)
    ]
    pd.testing.assert_frame_equal(*results, check_exact=True)
