"""BitFit: only the biases are trained (Ben Zaken et al. 2022).

h = W x + b,   W frozen
"""

from __future__ import annotations

from typing import Any

from headstart.errors import HeadstartError


def train_biases(network: Any) -> Any:
    """Freeze all weights of a model but its biases, in place.

    Args:
        network: any module.

    Returns:
        The network.

    Raises:
        HeadstartError: it has no bias, as most causal models of today have none.
    """
    biases = 0
    for name, parameter in network.named_parameters():
        is_bias = name.split(".")[-1] == "bias"
        parameter.requires_grad_(is_bias)
        biases += is_bias
    if not biases:
        raise HeadstartError(
            f"bitfit: {type(network).__name__} has no biases to train; take lora or fine_tune."
        )
    return network
