"""LoRA: low-rank adaptation (Hu et al. 2021), by the library PEFT.

    h = W x + (alpha / r) B A x,   W (d x k) frozen,  A (r x k) ~ N(0, 1/r^2),  B (d x r) = 0

so that at initialization nothing changes, and (d + k) r numbers a layer are trained.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.text.parameters import LoraParameters


def add_lora(network: Any, parameters: LoraParameters, seed: int) -> Any:
    """A language model with adapters in it; its own weights are frozen.

    Args:
        network: a transformers model, which is changed in place.
        parameters: rank, alpha, targets, dropout and variant.
        seed: of A.

    Returns:
        A `peft.PeftModel`: `save_pretrained` writes an adapter that any user of PEFT can open.

    Raises:
        HeadstartError: a target is no linear layer of the model, or the model has fewer layers
            than are to be adapted.
    """
    from peft import LoraConfig, get_peft_model

    if parameters.targets != "all-linear":
        refuse_unknown_targets(network, list(parameters.targets))
    targets: list[str] | str = parameters.targets
    if parameters.layers is not None:  # by their whole names
        targets = list(adapted_layers(network, targets, parameters.layers))
    config = LoraConfig(
        r=parameters.rank,
        lora_alpha=parameters.alpha,  # type: ignore[arg-type]  # any number will do
        target_modules=targets,
        lora_dropout=parameters.dropout,
        use_rslora=parameters.variant == "rslora",
        use_dora=parameters.variant == "dora",
        init_lora_weights="pissa" if parameters.variant == "pissa" else "gaussian",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT asks transformers by an old name, which nobody here could mend.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        torch.manual_seed(seed)
        return get_peft_model(network, config)


def merge_lora(network: Any) -> Any:
    """The plain model with W + (alpha / r) B A in place of W.

    Args:
        network: of `add_lora`; it is used up.
    """
    return network.merge_and_unload()


def refuse_unknown_targets(network: nn.Module, targets: list[str]) -> None:
    """Raise for a target that is no linear layer of the model.

    Raises:
        HeadstartError: names it, and the linear layers that there are.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(_named(name, target) for name in linear):
            there = ", ".join(sorted({name.split(".")[-1] for name in linear}))
            raise HeadstartError(
                f"lora.targets: the model has no linear layer '{target}'. It has {there}; or take "
                "`all-linear`."
            )


def adapted_layers(
    network: Any, targets: list[str] | str, layers: int | None = None
) -> dict[str, nn.Linear]:
    """The linear layers that get adapters, by their names in the model.

    Args:
        network: before adapters are added.
        targets: as in `LoraParameters`; "all-linear" leaves out the layer of the outputs, as PEFT
            does.
        layers: the last so many layers of the model alone; None: all.

    Raises:
        HeadstartError: the model has fewer layers, or no target is in the last ones.
    """
    outputs = network.get_output_embeddings()
    found = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and (
            module is not outputs
            if targets == "all-linear"
            else any(_named(name, target) for target in targets)
        )
    }
    if layers is None:
        return found
    there = int(network.config.num_hidden_layers)
    if layers > there:
        raise HeadstartError(
            f"adapters.layers: {layers} layers are to be adapted, the model has {there}; take at "
            "most as many, or null for all."
        )
    last = {name: module for name, module in found.items() if _depth(name) >= there - layers}
    if not last:
        raise HeadstartError(
            f"adapters.layers: none of the targets {targets} stands in the last {layers} of the "
            f"model's {there} layers; take null, or other targets."
        )
    return last


def count_lora_parameters(
    network: Any, targets: list[str] | str, rank: int, layers: int | None = None
) -> int:
    """Trainable parameters by the formula: the sum of (d + k) r over the adapted layers.

    Args:
        network: before adapters are added.
        targets: as in `adapted_layers`.
        rank: r.
        layers: as in `adapted_layers`.
    """
    adapted = adapted_layers(network, targets, layers).values()
    return sum((module.out_features + module.in_features) * rank for module in adapted)


def _named(name: str, target: str) -> bool:
    """Whether a target means this layer: by its whole name or its last parts, as in PEFT."""
    return name == target or name.endswith(f".{target}")


def _depth(name: str) -> int:
    """Number of the layer that a module stands in, from 0; -1 where it stands in none."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)
