from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.mapped_arrays import MappedArray, opened, share
from headstart.learning.parallel_fits import count_workers, run_fits

FUNCTIONS = '''
import os, signal, time
from pathlib import Path
import torch
from torch import nn
from headstart.errors import HeadstartError

def small_fit(plan, seed):
    """Weights of a small network after a few steps, as bytes, and the threads it had."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 900, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=plan["learning_rate"])
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    return model[3].weight.detach().numpy().tobytes(), torch.get_num_threads()

def slowest_first(plan, job):
    time.sleep(0.3 if job == 0 else 0.0)
    return job, os.getpid()

def fails(plan, job):
    if job == 1:
        raise HeadstartError("learning_rate: too high; lower it.")
    time.sleep(0.05)
    return job

def dies(plan, job):
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return job

def sleeps(plan, job):
    Path(plan, str(os.getpid())).touch()
    time.sleep(600)
'''


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """A module that workers can import."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "functions_of_fits.py").write_text(FUNCTIONS)
    sys.path.insert(0, str(folder))
    import functions_of_fits  # type: ignore[import-not-found]

    yield functions_of_fits
    sys.path.remove(str(folder))


def compute(workers: int) -> ComputeParameters:
    return ComputeParameters(device="cpu", parallel_fits=workers, progress=False)


def test_the_number_of_workers_does_not_change_a_bit(functions: ModuleType) -> None:
    plan, jobs = {"learning_rate": 0.1}, [5, 6, 7]
    before = torch.get_num_threads()
    alone = list(run_fits(functions.small_fit, plan, jobs, compute=compute(1)))
    assert torch.get_num_threads() == before
    assert alone == list(run_fits(functions.small_fit, plan, jobs, compute=compute(2)))
    assert len({weights for weights, _ in alone}) == 3
    assert {threads for _, threads in alone} == {1}


def test_results_come_in_the_order_of_the_jobs_from_several_processes(
    functions: ModuleType,
) -> None:
    results = list(run_fits(functions.slowest_first, None, range(6), compute=compute(2)))
    assert [job for job, _ in results] == list(range(6))
    workers = {pid for _, pid in results}
    assert len(workers) == 2
    assert os.getpid() not in workers


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_arrives_as_it_is(functions: ModuleType, workers: int) -> None:
    with pytest.raises(HeadstartError) as raised:
        list(run_fits(functions.fails, None, range(4), compute=compute(workers)))
    assert str(raised.value) == "learning_rate: too high; lower it."


def test_a_worker_that_dies_is_one_clear_message(functions: ModuleType) -> None:
    with pytest.raises(HeadstartError, match=r"signal 9.*Run again.*checkpoint"):
        list(run_fits(functions.dies, None, range(4), compute=compute(2)))


def test_no_jobs_no_results(functions: ModuleType) -> None:
    assert list(run_fits(functions.fails, None, [], compute=compute(2))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_die_with_a_killed_parent(functions: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(functions.__file__).parent)!r})\n"
        "from functions_of_fits import sleeps\n"
        "from headstart.learning.configuration import ComputeParameters\n"
        "from headstart.learning.parallel_fits import run_fits\n"
        "if __name__ == '__main__':\n"
        "    compute = ComputeParameters(device='cpu', parallel_fits=2, progress=False)\n"
        "    list(run_fits(sleeps, sys.argv[1], [0, 1], compute=compute))\n"
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    parent = subprocess.Popen([sys.executable, script, pids])
    try:
        _until(lambda: len(list(pids.iterdir())) == 2, seconds=120)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    workers = [int(p.name) for p in pids.iterdir()]
    _until(lambda: not any(_alive(pid) for pid in workers), seconds=20)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_a_mapped_file_is_shared_by_its_path(tmp_path: Path) -> None:
    array = np.arange(60_000, dtype=np.int32).reshape(100, 200, 3)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    sent = share(mapped)
    assert isinstance(sent, MappedArray)
    assert len(pickle.dumps(sent)) < 500
    received = opened(pickle.loads(pickle.dumps(sent)))
    np.testing.assert_array_equal(received, array)
    with pytest.raises(ValueError, match="read-only"):
        received[0] = 0


def test_other_arrays_are_sent_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(10))
    part = np.load(tmp_path / "a.npy", mmap_mode="r")[3:6]
    np.testing.assert_array_equal(opened(pickle.loads(pickle.dumps(share(part)))), [3, 4, 5])
    plain = np.arange(3)
    assert opened(share(plain)) is plain


def test_workers_are_counted_by_the_cores_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert count_workers(ComputeParameters(device="cpu")) == available
    assert count_workers(ComputeParameters(device="cpu", parallel_fits=7)) == 7
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert count_workers(ComputeParameters(device="cpu", parallel_fits=7)) == 1
