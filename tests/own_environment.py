"""Environments of their own, for what does not go together with the tests' packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What the command writes; it has to succeed."""
    # Neither the tests' environment nor a Kedro environment of the caller's.
    inherited = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "KEDRO_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def with_packages(folder: Path, *packages: str) -> Path:
    """A new environment with these packages alone; the folder of its commands."""
    run("uv", "venv", "-q", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run("uv", "pip", "install", "-q", "--python", python, *packages, cwd=folder.parent)
    return folder / "bin"


def of_project(folder: Path, project: Path, extra: str) -> Path:
    """A new environment of the project with an extra, as a user makes it; its commands' folder."""
    run(
        *("uv", "sync", "-q", "--no-group", "dev", "--extra", extra, "--python", sys.executable),
        cwd=project,
        UV_PROJECT_ENVIRONMENT=str(folder),
    )
    return folder / "bin"
