"""A network divided among processes, for one whose training does not fit one device.

With P processes each keeps 1/P of every weight, of its gradient and of its moments, and gathers the
weights of a layer when the layer is computed ("fully sharded data parallel", FSDP; Zhao et al.
2023, by torch's `fully_shard`). AdamW needs 16 bytes a weight in float32; of these remain 16 / P,
and for the time of an evaluation the 4 of the weights themselves.
"""

from __future__ import annotations

import copy
import os

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from headstart.learning.configuration import ComputeParameters


def is_sharded(compute: ComputeParameters) -> bool:
    """Whether this process trains its part of a divided network.

    Args:
        compute: parameters of the machine.
    """
    return compute.sharding == "full" and int(os.environ.get("WORLD_SIZE", "1")) > 1


def divided(model: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a model, divided among all processes; its layers and the rest are units.

    A layer is an entry of a `nn.ModuleList`, as the layers of a transformer are. The gradient of a
    loss is its mean over the processes.

    Args:
        model: the same in all processes; it is moved to the CPU.
        device: of the copy.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # Weights of convolutions may lie channels last, which cannot be divided.
    whole = copy.deepcopy(model.cpu()).to(memory_format=torch.contiguous_format)
    mesh = init_device_mesh(device.type, (int(os.environ["WORLD_SIZE"]),))
    for layer in _layers(whole):
        fully_shard(layer, mesh=mesh)
    fully_shard(whole, mesh=mesh)
    return whole.to(device)


@torch.no_grad()
def gather(part: nn.Module, model: nn.Module) -> None:
    """Write the weights and buffers of a divided network into the model that it is a copy of.

    Args:
        part: of `divided`; all processes call this together.
        model: where they are written to, on any device.
    """
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in {**dict(part.named_parameters()), **dict(part.named_buffers())}.items():
        own[name].copy_(whole_tensor(tensor))


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A divided tensor whole, any other as it is; all processes call this together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor, the same in all processes, divided as another one is.

    Args:
        tensor: on any device.
        like: of the same shape, divided or not.
    """
    if isinstance(tensor, DTensor) or not isinstance(like, DTensor):
        return tensor
    placed = tensor.to(like.device)
    return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)


def _layers(model: nn.Module) -> list[nn.Module]:
    """The outermost entries of lists of modules."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name == known or name.startswith(f"{known}.") for known in found)
        if isinstance(module, nn.ModuleList) and not inside:
            found |= {f"{name}.{i}" if name else str(i): m for i, m in enumerate(module)}
    return list(found.values())
