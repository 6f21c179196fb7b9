"""The script of benchmarks/kills.py, with few kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "kills.py"


@pytest.mark.slow
def test_killed_runs_end_with_the_results_of_the_undisturbed_one(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--folder", str(tmp_path / "runs")]
    command += ["--table", str(tmp_path / "kills.csv"), "--kills"]
    for kills in ("1", "3"):  # it goes on where it stopped
        done = subprocess.run([*command, kills], capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "kills.csv")
    assert table["kill"].tolist() == [0, 1, 2]
    assert table["killed"].tolist() == ["one", "all", "one"]
    assert (table["moment"] < table["of_seconds"]).all()
    assert table["equal"].all()
    assert "3 of 3 runs ended with the same results" in done.stdout
