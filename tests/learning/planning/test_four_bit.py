from __future__ import annotations

import torch
from torch import nn

from headstart.learning.planning.four_bit import FourBitLinear, quantize, stored_bytes


def test_a_layer_stores_what_the_formula_says():
    for shape in ((64, 64), (100, 30), (7, 3)):
        layer = FourBitLinear(nn.Linear(*shape, bias=False))
        held = sum(b.numel() * b.element_size() for b in layer.buffers())
        assert held == stored_bytes(shape[0] * shape[1])


def test_a_weight_takes_the_published_number_of_bits():
    weights = 4096 * 4096
    assert round(8 * stored_bytes(weights) / weights, 3) == 4.127  # Dettmers et al. 2023


def test_frozen_linear_layers_are_replaced_and_the_skipped_one_is_not():
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.Linear(6, 2))
    network.requires_grad_(False)
    network[2].requires_grad_(True)
    quantize(network, skip=network[3])
    assert [type(m) for m in network] == [FourBitLinear, nn.ReLU, nn.Linear, nn.Linear]


def test_gradients_flow_through_to_the_inputs():
    layer = FourBitLinear(nn.Linear(8, 6))
    x = torch.randn(3, 5, 8, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == (3, 5, 6)
    assert x.grad is not None
    assert x.grad.shape == x.shape
