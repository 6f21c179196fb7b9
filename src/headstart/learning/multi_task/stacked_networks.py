"""Networks of one shape as one stacked set of parameters: C candidates times T tasks.

    h_0 = x,   h_l = relu(W_ctl h_{l-1} + b_ctl),   f_ct(x) = W_ctL h_{L-1} + b_ctL

W_l has the shape (C, T, out, in), and all C T products of a layer are one batched product. Of a
layer that all tasks share there is one copy a candidate, (C, 1, out, in), unfolded to (C, T, out,
in) without taking memory. The gradient at the unfolded copies is then the gradient of each task
apart, out of one backward pass.

All networks begin with the same weights: candidates then differ by their hyper-parameters alone,
and of two tasks' networks the same hidden unit means the same, which a penalty on the difference
of their weights takes for granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Of each layer, unfolded: weights (C, T, out, in) and biases (C, T, out)."""


class StackedNetworks(nn.Module):
    """C T networks.

    Args:
        widths: of input, hidden layers and output.
        candidates: C.
        tasks: T.
        shared: so many layers from the input on are shared by all tasks.
        seed: of the initial weights: uniform within 1 / sqrt(in).
        mix: M (C, T, T), rows that sum to one; the networks are theta_t = sum_u M_tu psi_u of the
            parameters psi. None: theta = psi.
    """

    mix: torch.Tensor | None

    def __init__(
        self,
        widths: Sequence[int],
        *,
        candidates: int,
        tasks: int,
        shared: int,
        seed: int,
        mix: torch.Tensor | None = None,
    ):
        super().__init__()
        self.candidates, self.tasks, self.shared = candidates, tasks, shared
        generator = torch.Generator().manual_seed(seed)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (inner, outer) in enumerate(pairwise(widths)):
            copies = (candidates, 1 if i < shared else tasks)
            for parameters, shape in ((self.weights, (outer, inner)), (self.biases, (outer,))):
                drawn = (2 * torch.rand(shape, generator=generator) - 1) / inner**0.5
                parameters.append(nn.Parameter(drawn.repeat(*copies, *([1] * len(shape)))))
        self.register_buffer("mix", mix)

    def unfold(self) -> Layers:
        """The layers of every network."""
        return [
            (self._of_tasks(weight), self._of_tasks(bias))
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """What every network says: (b, T, D) -> (C, T, b, out)."""
        return apply(self.unfold(), features)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Weights and biases of the shared layers, in the order of `shared_copies`."""
        return self._parameters_of(range(self.shared))

    def own_parameters(self) -> list[nn.Parameter]:
        """Weights and biases of the layers that each task has for itself."""
        return self._parameters_of(range(self.shared, len(self.weights)))

    def shared_copies(self, layers: Layers) -> list[torch.Tensor]:
        """The unfolded weights and biases of the shared layers, (C, T, ...) each."""
        return [part for layer in layers[: self.shared] for part in layer]

    def parameters_of_one(self) -> int:
        """Parameters of the networks of one candidate."""
        return sum(p.numel() for p in self.parameters()) // self.candidates

    def _parameters_of(self, layers: range) -> list[nn.Parameter]:
        return [part for i in layers for part in (self.weights[i], self.biases[i])]

    def _of_tasks(self, parameter: torch.Tensor) -> torch.Tensor:
        if self.mix is not None:
            mixed = torch.bmm(self.mix, parameter.flatten(2) if parameter.dim() > 3 else parameter)
            return mixed.view_as(parameter)
        return parameter.expand(-1, self.tasks, *parameter.shape[2:])


def apply(layers: Layers, features: torch.Tensor) -> torch.Tensor:
    """Run every network on its task's rows.

    Args:
        layers: unfolded.
        features: shape (b, T, D).

    Returns:
        shape (C, T, b, out).
    """
    candidates, tasks = layers[0][0].shape[:2]
    hidden = features.transpose(0, 1).expand(candidates, -1, -1, -1).flatten(0, 1)
    for i, (weight, bias) in enumerate(layers):
        hidden = hidden.relu() if i else hidden
        hidden = torch.baddbmm(
            bias.flatten(0, 1)[:, None], hidden, weight.flatten(0, 1).transpose(1, 2)
        )
    return hidden.unflatten(0, (candidates, tasks))


def squared_norms(layers: Layers) -> torch.Tensor:
    """Sum of the squared weights of every network, biases left out: (C, T)."""
    return torch.stack([weight.square().sum((2, 3)) for weight, _ in layers]).sum(0)
