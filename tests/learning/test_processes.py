"""Trainings shared out among processes: the same results, and what is said when one fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.parallel_fits import run_fits
from headstart.learning.processes import count_processes, in_processes
from headstart.learning.training import TrainingData, train

HERE = Path(__file__).parent
ONE = ComputeParameters(device="cpu", progress=False, batch_size=8)
TWO = ONE.model_copy(update={"processes": 2})


@pytest.fixture(scope="module")
def trainings() -> Iterator[ModuleType]:
    """A module that workers can import."""
    sys.path.insert(0, str(HERE))
    import shared_trainings  # type: ignore[import-not-found]

    yield shared_trainings
    sys.path.remove(str(HERE))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_processes_give_what_one_gives(trainings: ModuleType, tmp_path: Path) -> None:
    one = trainings.everything(ONE, tmp_path / "one")
    two = in_processes(partial(trainings.everything, TWO, tmp_path / "two"), TWO, "everything")
    assert one.keys() == two.keys()
    for name, (history, weights) in one.items():
        other, others = two[name]
        assert other.drop(columns="value").equals(history.drop(columns="value")), name
        np.testing.assert_allclose(other["value"], history["value"], atol=1e-5, err_msg=name)
        off = np.concatenate([np.abs(w - others[k]).ravel() for k, w in weights.items()])
        # AdamW makes whole steps of 1e-3 out of gradients that are only rounding.
        assert np.quantile(off, 0.999) < 2e-5, name
        assert off.max() < 5e-4, name
    # A divided network ends with the weights of a whole one, and its checkpoint is whole.
    for method in ("fine_tune", "lora"):
        saved = [
            CheckpointFolder(tmp_path / count / method).load(signature="s")
            for count in ("one", "two")
        ]
        assert saved[0] is not None and saved[1] is not None  # noqa: PT018
        assert saved[1].metadata["progress"]["step"] == 4
        shapes = [{name: t.shape for name, t in found.tensors.items()} for found in saved]
        assert shapes[0] == shapes[1]
        # One process goes on where a divided training ended.
        history, weights = trainings.adapted(
            method, ONE, CheckpointFolder(tmp_path / "two" / method)
        )
        np.testing.assert_array_equal(
            history["value"], two[f"divided text {method}, resumed"][0]["value"]
        )
        for name, weight in two[f"divided text {method}, resumed"][1].items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", r"^a training: worker 1 \(of 2.*\) was ended by SIGKILL, often because memory"),
        ("wrong input", r"^stage\.parameter: too high; lower it\.$"),
        ("otherwise", r"^a training: worker 1 \(of 2.*failed \(RuntimeError: something else\)"),
    ],
)
def test_a_worker_that_fails_is_named_with_its_reason(
    trainings: ModuleType, how: str, message: str
) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(HeadstartError, match=message) as raised:
        in_processes(partial(trainings.failing, how), TWO, "a training")
    assert how == "wrong input" or "Run the same command again" in str(raised.value)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_killed_worker_ends_the_training_and_the_next_run_goes_on(
    trainings: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "kill").touch()
    saving = TWO.model_copy(update={"checkpoint_seconds": 0.0})
    jobs: dict[str, Any] = {"plan": tmp_path, "jobs": [saving], "compute": saving}
    with pytest.raises(HeadstartError, match="worker 1"):
        list(run_fits(trainings.interrupted, **jobs))
    ((weights, steps),) = run_fits(trainings.interrupted, **jobs)
    assert 30 <= steps < 40
    expected, all_steps = trainings.interrupted(tmp_path / "..", ONE)
    assert all_steps == 40
    np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.slow
def test_workers_die_with_a_killed_run_and_only_the_first_speaks(
    trainings: ModuleType, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import logging\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from headstart.learning.configuration import ComputeParameters\n"
        "from headstart.learning.processes import in_processes\n"
        "from shared_trainings import interrupted\n"
        "if __name__ == '__main__':\n"
        "    logging.getLogger('headstart').setLevel(logging.INFO)\n"
        "    compute = ComputeParameters(device='cpu', processes=2, checkpoint_seconds=0.0)\n"
        f"    call = partial(interrupted, Path({str(tmp_path)!r}), compute)\n"
        "    in_processes(call, compute, 'interrupted')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE), "STEP_SECONDS": "0.2"}
    run = subprocess.Popen([sys.executable, script], env=environment)
    while len(list(tmp_path.glob("step_4_*"))) < 2:
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    workers = [int(file.name.split("_")[-1]) for file in tmp_path.glob("step_4_*")]
    deadline = time.monotonic() + 60
    while any(_lives(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    environment["STEP_SECONDS"] = "0"
    again = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert again.stdout.count("goes on after step") == 1
    assert again.stderr.count("40/40") == 1  # one progress bar


@pytest.mark.slow
def test_two_launchers_on_one_machine(trainings: ModuleType) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # As `kedro join` does it; the run itself is this process.
    command = [sys.executable, "-c", "from headstart.cli import cli; cli()", "join"]
    other = subprocess.Popen(
        [*command, f"localhost:{port}", "--node", "1", "--wait", "120"],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    machines = ComputeParameters(
        device="cpu", nodes=2, rendezvous=f"localhost:{port}", rendezvous_seconds=120
    )
    try:
        for _ in range(2):  # the other machine comes to each training
            assert in_processes(trainings.sum_of_ranks, machines, "sums") == (1 + 2, 2)
    finally:
        from headstart.learning import machines as meetings

        meetings._stores.clear()  # as if the run had ended
        output, _ = other.communicate(timeout=60)
    alone = machines.model_copy(update={"rendezvous_seconds": 1})
    with pytest.raises(HeadstartError, match=r"1 other machine did not come .* --node N"):
        in_processes(trainings.sum_of_ranks, alone, "sums")
    assert output == "sums\nsums\nThe run has ended.\n"
    assert other.returncode == 0


def test_what_cannot_be_is_refused() -> None:
    assert count_processes(ONE.model_copy(update={"processes": "auto"})) == 1
    with pytest.raises(ValueError, match=r"compute\.rendezvous, host:port"):
        ComputeParameters(nodes=2)
    with pytest.raises(ValueError, match=r"set compute\.processes to 2"):
        ComputeParameters(sharding="full")


def test_what_does_not_go_with_a_divided_network_says_so(
    trainings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as in a worker
    full = TWO.model_copy(update={"sharding": "full"})
    with pytest.raises(HeadstartError, match="makes gradients of its own"):
        train(
            *(torch.nn.Linear(1, 1), lambda model, batch: batch.sum()),
            TrainingData(1, lambda indices, generator: torch.ones(1)),
            parameters=trainings.training(),
            compute=full,
            seed=0,
            backward=lambda loss: loss.backward(),
        )
    with pytest.raises(HeadstartError, match="does not go with meta-learning"):
        trainings.meta_learned(full)
    with pytest.raises(HeadstartError, match="does not go with unfreeze_every"):
        trainings.fine_tuned(full, unfreeze_every=1)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
