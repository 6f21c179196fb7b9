"""The contrastive loss in as many processes as are started, for test_contrastive.py.

Writes loss and gradients of one batch of 64, computed by hand, and the weights and losses of five
steps of the training loop on the same batch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import distributed, nn

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.pretext.contrastive import info_nce
from headstart.learning.training import TrainingData, train


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)).double()


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return info_nce(model(batch[0]), model(batch[1]), temperature=0.2)


def main(folder: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    second = first + 0.5 * torch.randn(64, 6, generator=generator, dtype=torch.float64)
    result = train(
        trained := network(),
        loss,
        TrainingData(64, lambda rows, _: (first[rows], second[rows])),
        parameters=TrainingParameters(
            steps=5, epochs=5, batch_size=64, learning_rate=0.01, evaluations=5
        ),
        compute=ComputeParameters(device="cpu", progress=False),
        seed=0,
        divisible=False,
    )
    processes, rank = (int(os.environ.get(k, d)) for k, d in (("WORLD_SIZE", "1"), ("RANK", "0")))
    model = network()
    here = np.array_split(np.arange(64), processes)[rank]
    value = loss(model, (first[here], second[here])) / processes
    value.backward()
    gradients = {f"gradient/{n}": p.grad for n, p in model.named_parameters()}
    summed = {"loss": value.detach().clone(), **gradients}
    if processes > 1:
        for tensor in summed.values():
            distributed.all_reduce(tensor)
    losses = result.history.query("name == 'train_loss'")["value"].to_numpy()
    tensors = {**summed, "losses": torch.from_numpy(losses.copy())}
    tensors |= {f"trained/{n}": p.detach() for n, p in trained.named_parameters()}
    if rank == 0:
        save_file(tensors, folder / f"of_{processes}.safetensors")
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
