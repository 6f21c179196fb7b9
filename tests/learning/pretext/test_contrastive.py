from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headstart.learning.pretext.contrastive import info_nce, similarities

SCRIPT = Path(__file__).parent / "contrastive_processes.py"


def projections(n: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    first, second = (torch.randn(n, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    return first.to(dtype), (first + second).to(dtype)


@pytest.mark.parametrize("n", [2, 3, 16])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_it_is_the_formula_written_out(n: int, temperature: float) -> None:
    first, second = projections(n)
    z = torch.cat([first, second])
    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)

        def s(k: int, i: int = i) -> float:
            cosine = z[i] @ z[k] / (z[i].norm() * z[k].norm())
            return float(cosine) / temperature

        others = sum(math.exp(s(k)) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(s(partner)) / others)
    assert float(info_nce(first, second, temperature)) == pytest.approx(total / (2 * n), abs=1e-6)


@pytest.mark.parametrize("n", [2, 8, 64])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_equals_lightlys_nt_xent(n: int, temperature: float) -> None:
    ntx = pytest.importorskip("lightly.loss.ntx_ent_loss")
    first, second = (x.requires_grad_() for x in projections(n))
    ours = info_nce(first, second, temperature)
    theirs = ntx.NTXentLoss(temperature=temperature)(first, second)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad(loss, first)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6)


def test_views_that_are_all_alike_give_the_logarithm_of_their_number() -> None:
    same = torch.ones(8, 5)
    assert float(info_nce(same, same, 0.1)) == pytest.approx(math.log(15), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.1])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_stays_finite_at_small_temperatures_in_half_precision(
    temperature: float, dtype: torch.dtype
) -> None:
    first, second = (x.requires_grad_() for x in projections(32, dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(first, second, temperature)
    loss.backward()
    wide = info_nce(first.detach().double(), second.detach().double(), temperature)
    assert float(loss.detach()) == pytest.approx(float(wide), rel=1e-3)
    assert first.grad is not None
    assert first.grad.isfinite().all()


def test_a_view_is_not_compared_with_itself() -> None:
    first, second = projections(5)
    similar, partner = similarities(first, second, 1.0)
    assert similar.shape == (10, 10)
    assert (similar.diagonal() == -torch.inf).all()
    assert partner.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_two_processes_at_32_give_loss_and_gradients_of_one_at_64(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, timeout=120)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, *launcher, SCRIPT, tmp_path], check=True, timeout=120)
    one, two = (load_file(tmp_path / f"of_{n}.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-9, atol=1e-12, msg=name)
