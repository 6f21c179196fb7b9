"""The model of a plan: its architecture, without a single weight.

Built on torch's meta device or under fake tensors, tensors have a shape and a type and no memory,
so that counts are exact and a model of 175 B parameters is built in seconds.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.networks import NETWORKS
from headstart.learning.planning.parameters import PlannedModel

CONV4 = "conv4"
Configurations = Mapping[str, Mapping[str, Any]]
"""Name -> fields of a `config.json` of the library transformers."""


def build_model(
    model: PlannedModel, configurations: Configurations, layers: int | None = None
) -> Any:
    """The bare model, on whatever device is the default one.

    Args:
        model: which one.
        configurations: of the models that name one.
        layers: build so many of its equal layers instead (transformers only); None: all.

    Returns:
        An encoder of images without a classification layer, Conv-4 or a torchvision classifier with
        its own, or a transformers model.

    Raises:
        HeadstartError: there is no such model, or its configuration cannot be understood.
    """
    if model.network == CONV4:
        return Conv4(model.channels, model.filters, model.classes, downsampling=model.downsampling)
    if model.network is not None:
        if model.network not in NETWORKS:
            raise _unknown("network", model.network, [*NETWORKS, CONV4])
        return NETWORKS[model.network]()
    if model.torchvision is not None:
        from torchvision import models

        known = models.list_models(module=models)
        if model.torchvision not in known:
            raise _unknown("torchvision", model.torchvision, known)
        return models.get_model(model.torchvision, weights=None, num_classes=model.classes)
    return _transformers_model(model, transformers_config(model, configurations, layers))


def transformers_config(
    model: PlannedModel, configurations: Configurations, layers: int | None = None
) -> Any:
    """The configuration of a transformers model.

    Args:
        model: one that has one.
        configurations: as in `build_model`.
        layers: as in `build_model`.

    Raises:
        HeadstartError: it is not there, or of a type that transformers does not know.
    """
    from transformers import AutoConfig

    fields = model.transformers
    if isinstance(fields, str):
        if fields not in configurations:
            raise _unknown("transformers", fields, configurations)
        fields = dict(configurations[fields])
    assert fields is not None
    fields = copy.deepcopy(fields)
    kind = fields.pop("model_type", None)
    fields.pop("quantization_config", None)  # how the file was packed, not what is computed
    try:
        config = AutoConfig.for_model(kind, **fields)
    except (ValueError, TypeError) as error:
        raise HeadstartError(
            f"planning: transformers cannot read the configuration of a '{kind}': {error}"
        ) from error
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    config._attn_implementation = model.attention
    return config


def parameter_count(model: PlannedModel, configurations: Configurations | None = None) -> int:
    """Learned numbers of the bare model, exactly; those that are used in two places count once.

    Args:
        model: which one.
        configurations: as in `build_model`.
    """
    with torch.device("meta"):
        network = build_model(model, configurations or {})
    return sum(p.numel() for p in network.parameters())


def repeated_layers(network: nn.Module) -> nn.ModuleList | None:
    """The equal layers that a transformer consists of; None where there is no such list.

    Args:
        network: of the library transformers, adapted or not.
    """
    config = getattr(network, "config", None)
    count = getattr(config, "num_hidden_layers", None)
    lists = [
        module
        for module in network.modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == count
        and len({type(layer) for layer in module}) == 1
        and len({_parameters(layer) for layer in module}) == 1
    ]
    return lists[0] if len(lists) == 1 else None


def sharded_units(network: nn.Module) -> tuple[int, int]:
    """What FSDP gathers at a time: parameters outside the equal layers, and of one such layer.

    Args:
        network: the bare model.

    Returns:
        (all, 0) where there are no equal layers.
    """
    layers = repeated_layers(network)
    whole = _parameters(network)
    if not layers:
        return whole, 0
    one = _parameters(layers[0])
    return whole - len(layers) * one, one


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _transformers_model(model: PlannedModel, config: Any) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if model.causal else AutoModel
    try:
        return kind.from_config(config, attn_implementation=model.attention)
    except ValueError as error:
        what = "predicts the next word" if model.causal else "encodes"
        raise HeadstartError(
            f"planning: transformers cannot build a '{config.model_type}' that {what}, with "
            f"attention: {model.attention}: {str(error).splitlines()[0]}"
        ) from error


def _unknown(field: str, name: str, known: Any) -> HeadstartError:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3) or sorted(known)
    return HeadstartError(
        f"planning.models: there is no {field} '{name}'. Known: {', '.join(close[:20])}."
    )
