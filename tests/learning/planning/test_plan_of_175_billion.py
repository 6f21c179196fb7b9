"""A plan of a model of 175 B parameters takes little memory itself: measured in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource
from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.parameters import PlannedMethod
from headstart.learning.planning.steps import Job
from planned import BIG, lora

for job in (Job(BIG, PlannedMethod(kind="full"), "fp32"), Job(BIG, lora(), "fp16")):
    cost = measure_cost(job, 1)
    assert sum(cost.peak(1).values()) > 3e11
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_it_takes_less_than_two_gigabytes():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 1024 * int(done.stdout.split()[-1]) < 2e9
