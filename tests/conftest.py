"""What all tests share: a copy of the project to run in, and the way to run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def copy_project(folder: Path) -> Path:
    """A project with the repository's code and configuration and data folders of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder / name)
    local = shutil.ignore_patterns("local")
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=local)
    (folder / "conf" / "local").mkdir()
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_kedro(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`kedro <arguments>` in the project's folder, as a user types it."""
    environment = {k: v for k, v in os.environ.items() if k != "KEDRO_ENV"}
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `kedro <arguments>` in a project's folder."""
    return run_kedro


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty copy of the project."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def test_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after `kedro run --env test`; read it, do not change it."""
    folder = copy_project(tmp_path_factory.mktemp("test_run") / "project")
    done = run_kedro(folder, "run", "--env", "test")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
