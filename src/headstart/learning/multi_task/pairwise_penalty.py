"""The pairwise penalty as one quadratic form of the tasks' graph.

    sum_{t<u} lambda_tu ||theta_t - theta_u||^2 = tr(Theta^T L Theta)
    L = diag(sum_u lambda_tu) - lambda          gradient: 2 L Theta

Theta (T, P) has the parameters of a task in each row, L (T, T) is the Laplacian of the graph whose
edges are the strengths. (Evgeniou, Micchelli and Pontil 2005, section 3.1.)
"""

from __future__ import annotations

import torch

from headstart.learning.multi_task.stacked_networks import Layers


def laplacian(strengths: torch.Tensor) -> torch.Tensor:
    """L of symmetric strengths lambda, shape (..., T, T); their diagonal does not matter."""
    off = strengths - torch.diag_embed(strengths.diagonal(dim1=-2, dim2=-1))
    return torch.diag_embed(off.sum(dim=-1)) - off


def penalty(form: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """tr(Theta^T L Theta) of several stacks at once.

    Args:
        form: L, shape (C, T, T).
        theta: shape (C, T, P).

    Returns:
        shape (C,).
    """
    return (theta * torch.bmm(form, theta)).sum(dim=(1, 2))


def stacked(layers: Layers) -> torch.Tensor:
    """All parameters of every network in a row: (C, T, P)."""
    return torch.cat([part.flatten(2) for layer in layers for part in layer], dim=2)


def preconditioner(form: torch.Tensor) -> torch.Tensor:
    """M = (I + L)^(-1/2), shape (C, T, T), computed in float64.

    With theta = M psi the penalty's curvature L becomes M L M <= I, so that gradient descent on psi
    gets on however large the strengths are. L = 0 gives M = I; infinite strengths give every task
    the mean of psi. Rows sum to one, for L 1 = 0.
    """
    values, vectors = torch.linalg.eigh(form.double())
    shrunk = vectors * (1 + values.clamp(min=0)).rsqrt()[..., None, :]
    return (shrunk @ vectors.transpose(-2, -1)).to(form.dtype)
