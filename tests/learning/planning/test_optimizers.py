from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.learning.planning.optimizers import OPTIMIZERS, state_bytes


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_formula_is_what_the_optimizer_holds(name, dtype):
    parameters = [nn.Parameter(torch.randn(size, dtype=dtype)) for size in (10, 5000, 4097)]
    optimizer = OPTIMIZERS[name](parameters)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    held = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    assert state_bytes(name, [p.numel() for p in parameters], dtype.itemsize) == held


def test_what_a_parameter_costs_in_fp32():
    million = [10**6]
    costs = {name: state_bytes(name, million, 4) / 1e6 for name in OPTIMIZERS}
    assert costs["sgd"] == 0
    assert costs["momentum"] == 4
    assert costs["adam"] == pytest.approx(8, rel=1e-5)
    assert costs["adam8bit"] == pytest.approx(2 * (1 + 4 / 256), rel=1e-4)
