"""Two runs on the same data: the second one says so, or waits; a killed one is in nobody's way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headstart import run_lock
from headstart.errors import HeadstartError
from headstart.run_lock import only_run

HOLD = """
import sys, time
from pathlib import Path
from headstart import run_lock
run_lock.use(Path(sys.argv[1]))
with run_lock.only_run(wait=False):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_lock, "_folder", tmp_path / "data")
    return tmp_path / "data"


def other_run(data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_names_the_first(data: Path) -> None:
    first = other_run(data)
    who = rf"process {first.pid} on {re.escape(socket.gethostname())}, since \d{{4}}-.*--wait"
    with pytest.raises(HeadstartError, match=who), only_run(wait=False):
        pytest.fail("two at once")
    first.communicate("\n")
    with only_run(wait=False):
        pass


def test_the_second_run_waits(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = other_run(data)
    second = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("wait=False", "wait=True"), str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=2)
    assert second.stdout is not None
    assert first.communicate("\n")[0] == "released\n"
    assert second.stdout.readline() == "held\n"
    assert second.communicate("\n")[0] == "released\n"


def test_a_killed_run_leaves_no_lock(data: Path) -> None:
    first = other_run(data)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with only_run(wait=False):
        pass
    assert [path.name for path in data.iterdir()] == [".run.lock"]


def test_a_run_that_fails_leaves_no_lock(data: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), only_run(wait=False):
            raise KeyError


def test_a_run_of_the_project_locks_its_data_folder(kedro: Any, project: Path) -> None:
    first = other_run(project / "data/test")
    done = kedro(project, "run", "--env", "test", "--pipelines", "ingestion")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"process {first.pid} on " in said
    assert "Traceback" not in said
    assert not list(project.glob("data/test/*_*"))
    explained = kedro(project, "run", "--env", "test", "--explain")
    assert explained.returncode == 0  # it writes nothing
    first.communicate("\n")
