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
        HeadstartError: a target is no linear layer of the model.
    """
    from peft import LoraConfig, get_peft_model

    if parameters.targets != "all-linear":
        refuse_unknown_targets(network, list(parameters.targets))
    config = LoraConfig(
        r=parameters.rank,
        lora_alpha=parameters.alpha,  # type: ignore[arg-type]  # any number will do
        target_modules=parameters.targets,
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


def count_lora_parameters(network: nn.Module, targets: list[str], rank: int) -> int:
    """Trainable parameters by the formula: the sum of (d + k) r over the adapted layers.

    Args:
        network: before adapters are added.
        targets: as in `LoraParameters`, names only.
        rank: r.
    """
    return sum(
        (module.out_features + module.in_features) * rank
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and any(_named(name, target) for target in targets)
    )


def _named(name: str, target: str) -> bool:
    """Whether a target means this layer: by its whole name or its last parts, as in PEFT."""
    return name == target or name.endswith(f".{target}")
