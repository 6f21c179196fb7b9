"""Counts against hand computation."""

from __future__ import annotations

import pytest
import torch

from headstart.learning.planning.operations import count_flops, count_moved

aten = torch.ops.aten


def test_a_product_of_matrices():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    args = (a, b)
    result = aten.mm.default(*args)
    assert count_flops(aten.mm.default, args, {}, result) == 2 * 3 * 5 * 7
    assert count_moved(aten.mm.default, args, {}, result) == 4 * (15 + 35 + 21)


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_a_convolution_backward_is_twice_the_one_forward(groups):
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(16, 8 // groups, 3, 3)
    forward = (x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    y = aten.convolution.default(*forward)
    by_hand = 2 * (2 * 16 * 6 * 6) * (8 // groups * 3 * 3)
    assert count_flops(aten.convolution.default, forward, {}, y) == by_hand
    backward = (y, x, weight, [0], *forward[3:], [True, True, False])
    result = aten.convolution_backward.default(*backward)
    assert count_flops(aten.convolution_backward.default, backward, {}, result) == 2 * by_hand
    first = (*backward[:-1], [False, True, False])  # images need no gradient
    result = aten.convolution_backward.default(*first)
    assert count_flops(aten.convolution_backward.default, first, {}, result) == by_hand


def test_a_view_moves_nothing_and_what_is_changed_in_place_is_read_and_written():
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    assert count_moved(aten.view.default, (x, [16]), {}, x.view(16)) == 0
    assert count_moved(aten.add_.Tensor, (x, y), {}, x.add_(y)) == 3 * 64
