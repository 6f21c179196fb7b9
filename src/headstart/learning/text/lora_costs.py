"""What LoRA saves of the memory that a training takes beside the weights.

    gradients: b n bytes        AdamW's two moments: 2 b n bytes        b bytes a number

with n = sum over adapted layers of (d + k) r for `lora` (Hu et al. 2021), all weights for
`fine_tune`, the biases for `bitfit`. What is counted is the number of weights that require a
gradient in the network as it is trained, without the classification layer, which all methods have.
Activations come on top, whatever is trained; so one step of the training loop is measured, too.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.encoders import choose_device
from headstart.learning.parallel_fits import count_workers, run_apart
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.text.bitfit import train_biases
from headstart.learning.text.language_model import LanguageModel, architecture, hidden_states
from headstart.learning.text.lora import add_lora, count_lora_parameters
from headstart.learning.text.lora_ranks import at_rank
from headstart.learning.text.parameters import CostParameters, LoraParameters
from headstart.learning.training import TrainingData, train

COST_COLUMNS = {
    **{"representation": "str", "method": "str", "rank": "Int64", "formula_parameters": "Int64"},
    **{"trainable_parameters": "int64", "total_parameters": "int64", "weight_bytes": "int64"},
    **{"gradient_bytes": "int64", "optimizer_bytes": "int64", "batch_size": "int64"},
    **{"tokens": "int64", "device": "str", "step_peak_bytes": "Int64", "note": "str"},
}


@dataclass(frozen=True)
class Step:
    """One training step to be measured.

    Attributes:
        architecture: what makes the network; its weights do not matter for the memory.
        method: fine_tune, lora or bitfit.
        lora: of the adapters; None where there are none.
        batch_size: texts.
        tokens: of each text.
        compute: of the machine.
    """

    architecture: tuple[type, Any, torch.dtype]
    method: str
    lora: LoraParameters | None
    batch_size: int
    tokens: int
    compute: ComputeParameters


def cost_table(
    name: str,
    model: LanguageModel,
    adapters: LoraParameters,
    parameters: CostParameters,
    compute: ComputeParameters,
) -> pd.DataFrame:
    """What each way of adapting a model trains, and the memory that this takes.

    Args:
        name: of the model.
        model: encoder or causal model; it is not touched.
        adapters: targets and variant of LoRA; its rank is one of those that are counted.
        parameters: ranks, and the size of the measured step.
        compute: device and precision of the step.

    Returns:
        Columns `COST_COLUMNS`: a row for `fine_tune`, one for each rank of `lora`, and one for
        `bitfit` where the model has biases. `formula_parameters` is (d + k) r summed over the
        adapted layers (DoRA's magnitudes, d a layer, come on top); null where there is no formula.
        `gradient_bytes` and `optimizer_bytes` are of all trained weights; one that no output
        depends on, as BERT's pooler here, gets neither. `step_peak_bytes` is what a step under
        way, in a process of its own, added to the loaded model, gradients and moments included:
        measured, so it varies from run to run; null where it was not asked for or could not be
        measured, and `note` says why.

    Raises:
        HeadstartError: as `headstart.learning.text.lora.add_lora`.
    """
    kind, config, dtype = made_by = architecture(model)
    ranks = sorted({*parameters.ranks, adapters.rank})
    ways: list[tuple[str, LoraParameters | None]] = [("fine_tune", None)]
    ways += [("lora", at_rank(adapters, rank)) for rank in ranks]
    if has_biases(model.network):
        ways.append(("bitfit", None))
    size = {"batch_size": parameters.batch_size, "tokens": parameters.tokens}

    def is_measured(lora: LoraParameters | None) -> bool:
        configured = lora is None or lora.rank == adapters.rank
        return parameters.measured == "each" or (parameters.measured == "configured" and configured)

    steps = [
        Step(made_by, m, lora, compute=compute, **size) for m, lora in ways if is_measured(lora)
    ]
    peaks = iter(measure_all(steps, compute))
    rows = []
    for method, lora in ways:
        peak, note = next(peaks) if is_measured(lora) else (None, "")
        with torch.device("meta"):  # shapes without memory
            plain = kind(copy.deepcopy(config)).to(dtype)
            formula = lora and count_lora_parameters(plain, lora.targets, lora.rank, lora.layers)
            network = adapted(plain, method, lora)
        trained = [p for p in network.parameters() if p.requires_grad]
        gradients = sum(p.numel() * p.element_size() for p in trained)
        rows.append(
            {
                **{"representation": name, "method": method, "rank": lora and lora.rank},
                "formula_parameters": formula,
                "trainable_parameters": sum(p.numel() for p in trained),
                "total_parameters": sum(p.numel() for p in network.parameters()),
                "weight_bytes": sum(p.numel() * p.element_size() for p in network.parameters()),
                **{"gradient_bytes": gradients, "optimizer_bytes": 2 * gradients},
                **{**size, "device": choose_device(compute).type},
                **{"step_peak_bytes": peak, "note": note},
            }
        )
    return pd.DataFrame(rows, columns=list(COST_COLUMNS)).astype(COST_COLUMNS)


def measure_all(steps: Sequence[Step], compute: ComputeParameters) -> list[tuple[int | None, str]]:
    """Measure steps, as many at once as there are fits at once: none sees another's memory.

    Args:
        steps: what is measured.
        compute: number of workers.

    Returns:
        For each step what `measure` returns.
    """
    with ThreadPoolExecutor(count_workers(compute)) as pool:
        return list(pool.map(measure, steps))


def measure(step: Step) -> tuple[int | None, str]:
    """Measure a step in a process of its own, where nothing has been freed that it could reuse.

    Args:
        step: what is measured.

    Returns:
        Bytes that the step added at its peak (None: not to be had), and why there are none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return None, "not measured where a launcher has started several processes"
    try:
        peak = run_apart(step_peak, step, compute=step.compute, description="one training step")
    except HeadstartError as error:  # that it does not fit is a result, not the end of the run
        return None, str(error)
    return peak, "" if peak is not None else "the platform cannot tell"


def step_peak(step: Step) -> int | None:
    """Bytes that a training step, once it is under way, adds to the loaded model at its peak.

    Args:
        step: what is measured.
    """
    kind, config, dtype = step.architecture
    network = adapted(kind(config).to(dtype), step.method, step.lora)
    network.to(choose_device(step.compute))

    def load(indices: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        size = (len(indices), step.tokens)
        return torch.randint(
            network.config.vocab_size, size, generator=generator, device=generator.device
        )

    def loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
        return hidden_states(model, tokens, torch.ones_like(tokens)).float().square().mean()

    with torch.no_grad():  # what is set up at the first call is no part of a step
        loss(network, torch.zeros((1, 2), dtype=torch.int64, device=network.device))
    with PeakMemory() as memory:
        train(
            network,
            loss,
            TrainingData(step.batch_size, load),
            # The moments are there from the end of the first step on, so the second counts. Any
            # learning rate takes the same memory.
            parameters=TrainingParameters(
                steps=2, epochs=2, batch_size=step.batch_size, learning_rate=1e-4
            ),
            compute=step.compute.model_copy(update={"progress": False}),
            seed=0,
        )
    return memory.bytes


def adapted(network: Any, method: str, lora: LoraParameters | None) -> Any:
    """The network with what a method trains requiring a gradient, and nothing else.

    Args:
        network: is changed in place.
        method: fine_tune, lora or bitfit.
        lora: of the adapters.
    """
    if lora is not None:
        return add_lora(network, lora, seed=0)
    return train_biases(network) if method == "bitfit" else network


def has_biases(network: nn.Module) -> bool:
    """Whether `bitfit` has anything to train; most causal models of today have no bias."""
    return any(name.split(".")[-1] == "bias" for name, _ in network.named_parameters())
