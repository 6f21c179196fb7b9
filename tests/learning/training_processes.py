"""Trainings in processes of their own, for test_training.py; not a test itself.

python training_processes.py killed FOLDER        one uninterrupted training, one that is killed
python -m torch.distributed.run ... distributed FOLDER     one training, as many processes as given
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # what an optimizer imports when it is first used, in seconds
from safetensors.torch import save_file
from torch import nn

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.training import TrainingData, TrainingResult, train


def network(batch_norm: bool, dropout: float) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(8 * 36, 3),
    )


def noisy_images(noise: float) -> TrainingData:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(20, 2, 8, 8)).astype(np.float32))
    y = torch.from_numpy(rng.integers(3, size=20))

    def load(indices: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        images = x[indices]
        return images + noise * torch.randn(images.shape, generator=generator), y[indices]

    return TrainingData(20, load)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def run(folder: Path, name: str, checkpoint: CheckpointFolder | None, log: Path) -> TrainingResult:
    """Everything that has a state: batch norm, dropout, augmentation, best weights, schedule."""
    torch.set_num_threads(1)
    model, data = network(batch_norm=True, dropout=0.3), noisy_images(0.5)
    model.to(memory_format=torch.channels_last)
    held_out = data.load(np.arange(20), torch.Generator().manual_seed(1))

    def logged(indices: np.ndarray, generator: torch.Generator) -> object:
        with log.open("a") as file:
            file.write(f"{name}\n")
        time.sleep(0.01)  # long enough to be killed in its midst
        return data.load(indices, generator)

    result = train(
        model,
        loss,
        TrainingData(20, logged),
        parameters=TrainingParameters(
            steps=60, epochs=100, batch_size=6, learning_rate=0.05, evaluations=13
        ),
        compute=ComputeParameters(device="cpu", checkpoint_seconds=0, progress=False),
        seed=3,
        evaluate=lambda m: {"validation_loss": float(loss(m, held_out))},
        checkpoint=checkpoint,
        signature="signature",
    )
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / f"{name}.safetensors")
    result.history.to_parquet(folder / f"{name}.parquet")
    return result


def in_child(*arguments: object, kill_after: float | None = None) -> bool:
    """Run in a fork of this process, which has run no thread of torch; True when it ended well."""
    child = os.fork()
    if child == 0:
        run(*arguments)  # type: ignore[arg-type]
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status == 0


def killed(folder: Path) -> None:
    log = folder / "steps.log"
    checkpoints = CheckpointFolder(folder / "checkpoints")
    started = time.monotonic()
    assert in_child(folder, "whole", None, log)
    seconds = time.monotonic() - started
    kills = 0
    while not in_child(
        *(folder, "killed", checkpoints, log),
        kill_after=random.uniform(0.02, seconds / 2) if kills < 6 else None,
    ):
        kills += 1
    (folder / "kills").write_text(str(kills))


def distributed(folder: Path) -> None:
    model = network(batch_norm=False, dropout=0.0)
    train(
        model,
        loss,
        noisy_images(0.0),
        parameters=TrainingParameters(
            # 20 examples in batches of 5 and 1 short: shares of 3 and 2, and cut once more.
            **{"steps": 30, "epochs": 100, "batch_size": 5, "learning_rate": 0.01}
        ),
        compute=ComputeParameters(
            **{"device": "cpu", "gradient_accumulation": 2, "progress": False}
        ),
        seed=3,
        checkpoint=CheckpointFolder(folder / f"checkpoints_{os.environ.get('WORLD_SIZE')}"),
        signature="signature",
    )
    processes = os.environ.get("WORLD_SIZE", "1")
    rank = os.environ.get("RANK", "0")
    save_file(model.state_dict(), folder / f"of_{processes}_rank_{rank}.safetensors")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    {"killed": killed, "distributed": distributed}[sys.argv[1]](Path(sys.argv[2]))
