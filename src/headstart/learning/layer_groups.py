"""Layers by depth in fine-tuning: their learning rates, and when they are trained.

Discriminative learning rates and gradual unfreezing: Howard and Ruder (2018), sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.learning.batch_norm import NORMS, norms_of
from headstart.learning.configuration import AdaptationParameters
from headstart.learning.training import ParameterGroup


@dataclass(frozen=True)
class LayerGroup:
    """Layers of about the same depth, which are frozen and unfrozen together.

    Attributes:
        modules: the layers.
        parameters: all of theirs, and any that belong to no layer.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]


def layer_groups(network: nn.Module) -> list[LayerGroup]:
    """A network cut by depth, the layers next to the input first.

    A group is a child of the network, or of a container among its children (`nn.Sequential`,
    `nn.ModuleList`); a batch norm, or what has no parameters, belongs to the layer before it.

    Args:
        network: any module whose children are defined from input to output.
    """
    groups: list[list[nn.Module]] = []
    for child in network.children():
        parts = list(child) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        for part in parts:
            follows = isinstance(part, NORMS) or not list(part.parameters())
            if follows and groups:
                groups[-1].append(part)
            else:
                groups.append([part])
    owned = {id(p) for group in groups for module in group for p in module.parameters()}
    loose = [p for p in network.parameters() if id(p) not in owned]  # position embeddings
    found = [LayerGroup(g, [p for module in g for p in module.parameters()]) for g in groups]
    if found and loose:
        found[0].parameters.extend(loose)
    return found


def parameter_groups(
    head: nn.Module, groups: Sequence[LayerGroup], parameters: AdaptationParameters
) -> list[ParameterGroup]:
    """Discriminative learning rates: scale decay^d for the group that is d below the head.

    Args:
        head: the classification layer.
        groups: the layers of the encoder below it.
        parameters: `learning_rate_decay` and `head_scale`.
    """
    decay = parameters.learning_rate_decay
    encoder = [
        ParameterGroup(group.parameters, scale=decay ** (len(groups) - i))
        for i, group in enumerate(groups)
    ]
    top = ParameterGroup(list(head.parameters()), scale=parameters.head_scale)
    return [*(group for group in encoder if group.parameters), top]


def set_trained(
    model: nn.Module, groups: Sequence[LayerGroup], epoch: int, parameters: AdaptationParameters
) -> None:
    """Freeze what is not trained in an epoch: gradual unfreezing, and batch norm.

    Args:
        model: the classifier, in training mode.
        groups: the layers of its encoder.
        epoch: its number, from 0.
        parameters: `unfreeze_every` and `batch_norm`.
    """
    every = parameters.unfreeze_every
    trained = len(groups) if every is None else min(len(groups), epoch // every)
    for i, group in enumerate(groups):
        frozen = i < len(groups) - trained
        for parameter in group.parameters:
            parameter.requires_grad_(not frozen)
        if frozen:
            for module in group.modules:
                module.eval()
    if parameters.batch_norm == "frozen":
        for norm in norms_of(model):
            norm.eval()
