from __future__ import annotations

import logging
import math
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.schedule import learning_rate_factor, planned_steps, steps_per_epoch
from headstart.learning.training import ParameterGroup, TrainingData, train

PROCESSES = Path(__file__).parent / "training_processes.py"
COMPUTE = ComputeParameters(device="cpu", progress=False)


def parameters(**changed: Any) -> TrainingParameters:
    return TrainingParameters(
        **{
            **{"steps": 10, "epochs": 100, "batch_size": 7, "learning_rate": 0.01},
            **{"schedule": "constant", "warmup_share": 0.0, "clip_norm": None},
            **changed,
        }
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def regression(n: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(n, 5)))
    return x, x.sum(dim=1, keepdim=True).sin()


def data(n: int = 14) -> TrainingData:
    x, y = regression(n)
    return TrainingData(n, lambda indices, _: (x[indices], y[indices]))


def network(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), *middle, nn.Tanh(), nn.Linear(8, 1)).double()


def squared_error(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([t.detach().flatten().double() for t in model.state_dict().values()])


# --- against a plain loop, and the schedule --------------------------------------------------


def test_it_is_adamw_on_whole_batches() -> None:
    model = network()
    train(
        *(model, squared_error, data()),
        parameters=parameters(batch_size=14, weight_decay=0.1, clip_norm=0.5),
        compute=COMPUTE,
        seed=0,
    )
    plain = network()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1, foreach=False)
    for _ in range(10):
        optimizer.zero_grad()
        squared_error(plain, regression()).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-9, atol=1e-12)


def test_the_schedules_by_hand() -> None:
    def factors(schedule: str) -> list[float]:
        chosen = parameters(schedule=schedule, warmup_share=0.2)
        return [learning_rate_factor(chosen, step, 10) for step in range(10)]

    assert factors("constant") == [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert factors("linear") == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 0.5, 3 / 8, 0.25, 0.125]
    )
    assert factors("cosine")[6] == pytest.approx(0.5)
    assert factors("cosine")[9] == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)


def test_steps_and_epochs_both_bound_a_training() -> None:
    assert planned_steps(parameters(steps=1000, epochs=3, batch_size=4), 14) == 12
    assert planned_steps(parameters(steps=5, epochs=3, batch_size=4), 14) == 5
    result = train(
        *(network(), squared_error, data()),
        parameters=parameters(steps=1000, epochs=3),
        compute=COMPUTE,
        seed=0,
    )
    assert result.steps == result.best_step == 6


@given(size=st.integers(1, 60), batch_size=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_every_epoch_is_a_new_permutation_in_even_batches(
    size: int, batch_size: int, seed: int
) -> None:
    seen: list[np.ndarray] = []

    def load(indices: np.ndarray, _: torch.Generator) -> torch.Tensor:
        seen.append(indices)
        return torch.zeros(len(indices), 1)

    model = nn.Linear(1, 1)
    per_epoch = steps_per_epoch(size, batch_size)
    train(
        *(model, lambda m, x: m(x).mean(), TrainingData(size, load)),
        parameters=parameters(steps=2 * per_epoch, epochs=2, batch_size=batch_size),
        compute=COMPUTE,
        seed=seed,
    )
    epochs = [np.concatenate(seen[:per_epoch]), np.concatenate(seen[per_epoch:])]
    for epoch in epochs:
        assert sorted(epoch) == list(range(size))
    lengths = [len(s) for s in seen]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= max(batch_size, 3 if batch_size == 2 else 0)
    if size > 1 and batch_size > 1:
        assert min(lengths) > 1  # batch norm cannot learn from one example
    if size > 8:
        assert not np.array_equal(*epochs)


def test_batches_are_put_together_anew_in_each_epoch_as_asked() -> None:
    seen: list[list[int]] = []

    def load(indices: np.ndarray, _: torch.Generator) -> torch.Tensor:
        seen.append(indices.tolist())
        return torch.zeros(len(indices), 1)

    def backwards(batches: list[np.ndarray], _: np.random.Generator) -> list[np.ndarray]:
        return batches[::-1]

    runs = []
    for regroup in (None, backwards):
        seen.clear()
        train(
            *(nn.Linear(1, 1), lambda m, x: m(x).mean(), TrainingData(10, load, regroup=regroup)),
            parameters=parameters(steps=6, epochs=2, batch_size=4),
            compute=COMPUTE,
            seed=3,
        )
        runs.append(list(seen))
    plain, turned = runs
    assert turned == [*plain[2::-1], *plain[:2:-1]]


# --- gradient accumulation and memory --------------------------------------------------------


@pytest.mark.parametrize("micro_batches", [2, 3, 7, 100])
def test_micro_batches_give_the_gradient_of_the_whole_batch(micro_batches: int) -> None:
    results = []
    for n in (1, micro_batches):
        model = network()
        train(
            *(model, squared_error, data()),
            parameters=parameters(),
            compute=COMPUTE.model_copy(update={"gradient_accumulation": n}),
            seed=0,
        )
        results.append(weights(model))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_means_smaller_micro_batches(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    def small_only(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        output = model(batch[0])  # has moved the running statistics before memory runs out
        if len(output) > 2:
            raise error
        return nn.functional.mse_loss(output, batch[1])

    def fitted(objective: Callable[..., torch.Tensor], accumulation: int) -> torch.Tensor:
        model = network(nn.BatchNorm1d(8), nn.Dropout(0.5))
        train(
            *(model, objective, data(16)),
            parameters=parameters(batch_size=8),
            compute=COMPUTE.model_copy(update={"gradient_accumulation": accumulation}),
            seed=0,
        )
        return weights(model)

    with caplog.at_level(logging.WARNING):
        retried = fitted(small_only, 1)
    assert torch.equal(retried, fitted(squared_error, 4))
    # Once for 2 and once for 4 micro-batches: later steps start with what fits.
    assert [r.getMessage().count("micro-batches") for r in caplog.records] == [1, 1]


def test_one_example_that_does_not_fit_is_an_error() -> None:
    def never(model: nn.Module, batch: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(HeadstartError, match="not even one example"):
        train(*(network(), never, data()), parameters=parameters(), compute=COMPUTE, seed=0)


def test_a_loss_that_compares_all_of_a_batch_is_never_cut() -> None:
    sizes: list[int] = []

    def compared(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        sizes.append(len(batch[0]))
        return squared_error(model, batch)

    compute = COMPUTE.model_copy(update={"gradient_accumulation": 4})
    train(
        *(network(), compared, data(16)),
        parameters=parameters(batch_size=8),
        compute=compute,
        seed=0,
        divisible=False,
    )
    assert set(sizes) == {8}

    def too_large(model: nn.Module, batch: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(HeadstartError, match=r"batch of 8 does not fit.*training\.batch_size"):
        train(
            *(network(), too_large, data(16)),
            parameters=parameters(batch_size=8),
            compute=COMPUTE,
            seed=0,
            divisible=False,
        )


def test_without_a_validation_loss_the_last_weights_are_kept() -> None:
    scored = network()
    result = train(
        *(scored, squared_error, data()),
        parameters=parameters(),
        compute=COMPUTE,
        seed=0,
        evaluate=lambda _: {"heldout_loss": 1.0},
    )
    plain = network()
    train(*(plain, squared_error, data()), parameters=parameters(), compute=COMPUTE, seed=0)
    assert torch.equal(weights(scored), weights(plain))
    assert "heldout_loss" in set(result.history["name"])
    assert result.best_step == result.steps


def test_other_runtime_errors_are_not_taken_for_memory() -> None:
    def broken(model: nn.Module, batch: Any) -> torch.Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(*(network(), broken, data()), parameters=parameters(), compute=COMPUTE, seed=0)


# --- evaluation ------------------------------------------------------------------------------


def scripted(losses: list[float], kept: list[torch.Tensor]) -> Callable[[nn.Module], Any]:
    remaining = iter(losses)

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        kept.append(weights(model))
        return {"validation_loss": next(remaining), "validation_accuracy": 0.5}

    return evaluate


def test_the_best_weights_are_restored_and_of_equals_the_earlier() -> None:
    model, kept = network(), []
    result = train(
        *(model, squared_error, data()),
        parameters=parameters(evaluations=5),
        compute=COMPUTE,
        seed=0,
        evaluate=scripted([3, 1, 2, 1, 4], kept),
    )
    assert (result.best_step, result.steps, result.stopped_early) == (4, 10, False)
    assert torch.equal(weights(model), kept[1])
    validation = result.history[result.history["name"] == "validation_loss"]
    assert validation["step"].tolist() == [2, 4, 6, 8, 10]
    assert validation["value"].tolist() == [3, 1, 2, 1, 4]


def test_early_stopping_waits_for_patience_evaluations() -> None:
    kept: list[torch.Tensor] = []
    result = train(
        *(network(), squared_error, data()),
        parameters=parameters(evaluations=5, patience=2),
        compute=COMPUTE,
        seed=0,
        evaluate=scripted([3, 1, 2, 1, 0], kept),
    )
    assert (result.best_step, result.steps, result.stopped_early) == (4, 8, True)


def test_the_last_step_is_of_the_whole_schedule() -> None:
    kept: list[torch.Tensor] = []
    chosen = parameters(schedule="cosine", evaluations=10)
    evaluate = scripted([1.0] * 10, kept)
    train(
        *(network(), squared_error, data()),
        parameters=chosen,
        compute=COMPUTE,
        seed=0,
        evaluate=evaluate,
    )
    model = network()
    result = train(
        *(model, squared_error, data()),
        parameters=chosen,
        compute=COMPUTE,
        seed=0,
        last_step=6,
    )
    assert result.steps == result.best_step == 6
    assert torch.equal(weights(model), kept[5])


def test_the_history_is_tidy_and_holds_means() -> None:
    losses: list[float] = []

    def objective(model: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        loss = squared_error(model, batch)
        losses.append(loss.item())
        return loss, {"twice": 2 * loss}

    history = train(
        *(network(), objective, data()),
        parameters=parameters(evaluations=2),
        compute=COMPUTE,
        seed=0,
    ).history
    assert history.columns.tolist() == ["step", "epoch", "name", "value"]
    table = history.pivot(index="step", columns="name", values="value")
    assert table.index.tolist() == [5, 10]
    assert history.groupby("step")["epoch"].first().tolist() == [2, 4]
    # float32, as values of the history are
    assert table["train_loss"].tolist() == pytest.approx(
        [np.mean(losses[:5]), np.mean(losses[5:])], rel=1e-6
    )
    assert table["twice"].tolist() == pytest.approx([2 * v for v in table["train_loss"]])
    assert table["learning_rate"].tolist() == pytest.approx([0.01, 0.01])


# --- what is trained -------------------------------------------------------------------------


def test_groups_scale_the_learning_rate() -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    train(
        *(model, squared_error, data()),
        parameters=parameters(steps=1),
        compute=COMPUTE,
        seed=0,
        groups=[
            ParameterGroup(list(model[0].parameters()), scale=0.5),
            ParameterGroup([model[2].weight], scale=3.0),
        ],
    )
    # The first step of Adam is the learning rate times the sign of the gradient.
    moved = [(p - b).detach().abs() for p, b in zip(model.parameters(), before, strict=True)]
    for change, expected in zip(moved, [0.005, 0.005, 0.03, 0.0], strict=True):
        torch.testing.assert_close(change, torch.full_like(change, expected), rtol=1e-3, atol=0)


def test_a_frozen_body_is_neither_changed_nor_saved(tmp_path: Path) -> None:
    model = network()
    model[0].requires_grad_(False)
    before = weights(model[0])
    folder = CheckpointFolder(tmp_path)
    train(
        *(model, squared_error, data()),
        parameters=parameters(weight_decay=0.5),
        compute=COMPUTE.model_copy(update={"checkpoint_seconds": 0.0}),
        seed=0,
        checkpoint=folder,
        signature="s",
    )
    assert torch.equal(weights(model[0]), before)
    found = folder.load(signature="s")
    assert found is not None
    assert {name for name in found.tensors if name.startswith("model/")} == {
        "model/2.weight",
        "model/2.bias",
    }


def test_on_epoch_sees_every_epoch_in_training_mode() -> None:
    seen: list[int] = []

    def on_epoch(model: nn.Module, epoch: int) -> None:
        assert model.training
        seen.append(epoch)

    train(
        *(network(), squared_error, data()),
        parameters=parameters(steps=6, evaluations=3),
        compute=COMPUTE,
        seed=0,
        on_epoch=on_epoch,
    )
    assert sorted(set(seen)) == [0, 1, 2, 3]
    assert seen == sorted(seen)


def test_an_own_backward_pass_gets_the_losses_as_they_are() -> None:
    def both(model: nn.Module, batch: Any) -> torch.Tensor:
        error = (model(batch[0]) - batch[1]).squeeze(1)
        return torch.stack([(error**2).mean(), error.abs().mean()])

    plain, own = network(), network()
    train(
        *(plain, lambda m, b: both(m, b).sum(), data()),
        parameters=parameters(),
        compute=COMPUTE,
        seed=0,
    )
    train(
        *(own, both, data()),
        parameters=parameters(),
        compute=COMPUTE,
        seed=0,
        backward=lambda losses: losses.sum().backward(),
    )
    assert torch.equal(weights(plain), weights(own))


def test_gradients_may_lie_in_memory_unlike_their_weights() -> None:
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(14, 3, 5, 5))).float()

    def fitted(layout: torch.memory_format) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
        model.to(memory_format=torch.channels_last)

        def backward(loss: torch.Tensor) -> None:
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                form = layout if gradient.ndim == 4 else torch.contiguous_format
                parameter.grad = gradient.contiguous(memory_format=form)

        train(
            *(model, lambda m, x: (m(x) - 1).square().mean()),
            TrainingData(14, lambda indices, _: images[indices]),
            parameters=parameters(batch_size=14),
            compute=COMPUTE,
            seed=0,
            backward=backward,
        )
        return weights(model)

    torch.testing.assert_close(fitted(torch.contiguous_format), fitted(torch.channels_last))


# --- randomness ------------------------------------------------------------------------------


def test_a_seed_fixes_everything_and_the_global_generator_is_left_alone() -> None:
    def fitted(seed: int, before: int) -> torch.Tensor:
        model = network(nn.Dropout(0.5))
        torch.manual_seed(before)
        state = torch.get_rng_state()
        train(*(model, squared_error, data()), parameters=parameters(), compute=COMPUTE, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return weights(model)

    assert torch.equal(fitted(1, before=5), fitted(1, before=6))
    assert not torch.equal(fitted(1, before=5), fitted(2, before=5))


# --- precision and compilation ---------------------------------------------------------------


def test_precisions_follow_each_other_in_one_process() -> None:
    seen = []

    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        output = model(batch[0].float())
        seen.append(output.dtype)
        return nn.functional.mse_loss(output.float(), batch[1].float())

    for precision in ("fp32", "bf16", "fp32"):
        model = network().float()
        result = train(
            *(model, objective, data()),
            parameters=parameters(steps=30, learning_rate=0.03),
            compute=COMPUTE.model_copy(update={"precision": precision}),
            seed=0,
        )
        losses = result.history.query("name == 'train_loss'")["value"]
        assert losses.iloc[-1] < losses.iloc[0] / 2
        assert all(p.dtype == torch.float32 for p in model.parameters())
    assert seen == [torch.float32] * 30 + [torch.bfloat16] * 30 + [torch.float32] * 30


def test_fp16_without_a_gpu_is_an_error() -> None:
    with pytest.raises(HeadstartError, match="fp16 needs a CUDA device"):
        train(
            *(network(), squared_error, data()),
            parameters=parameters(),
            compute=COMPUTE.model_copy(update={"precision": "fp16"}),
            seed=0,
        )


def test_the_compiled_model_is_what_the_objective_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiled(nn.Module):
        def __init__(self, model: nn.Module):
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x)

    monkeypatch.setattr(torch, "compile", Compiled)
    seen: list[type] = []

    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(type(model))
        return squared_error(model, batch)

    model, plain = network(), network()
    compiled = COMPUTE.model_copy(update={"compile": True})
    train(*(model, objective, data()), parameters=parameters(), compute=compiled, seed=0)
    train(*(plain, squared_error, data()), parameters=parameters(), compute=COMPUTE, seed=0)
    assert set(seen) == {Compiled}
    assert torch.equal(weights(model), weights(plain))


# --- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_step(value: float) -> None:
    steps = iter(range(100))

    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        loss = squared_error(model, batch)
        return loss * value if next(steps) == 3 else loss

    with pytest.raises(HeadstartError, match=r"at step 4 of 10; lower the learning_rate"):
        train(*(network(), objective, data()), parameters=parameters(), compute=COMPUTE, seed=0)


def test_weights_that_are_not_finite_at_the_end_are_an_error() -> None:
    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        return (model[0].weight * 0).pow(0.5).sum()  # the loss is 0, its gradient is not a number

    with pytest.raises(HeadstartError, match="weights are not finite"):
        train(
            *(network(), objective, data()), parameters=parameters(steps=1), compute=COMPUTE, seed=0
        )


def test_a_validation_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(HeadstartError, match="validation loss is nan after step 5"):
        train(
            *(network(), squared_error, data()),
            parameters=parameters(evaluations=2),
            compute=COMPUTE,
            seed=0,
            evaluate=lambda _: {"validation_loss": math.nan},
        )


def test_no_data_is_an_error() -> None:
    with pytest.raises(HeadstartError, match="no example"):
        train(
            *(network(), squared_error, TrainingData(0, data().load)),
            parameters=parameters(),
            compute=COMPUTE,
            seed=0,
        )


# --- checkpoints and processes ---------------------------------------------------------------


def test_a_checkpoint_of_other_parameters_is_not_gone_on_from(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    saving = COMPUTE.model_copy(update={"checkpoint_seconds": 0.0})

    def fitted(signature: str) -> tuple[torch.Tensor, int]:
        model, loaded = network(), []

        def load(indices: np.ndarray, generator: torch.Generator) -> Any:
            loaded.append(indices)
            return data().load(indices, generator)

        train(
            *(model, squared_error, TrainingData(14, load)),
            parameters=parameters(),
            compute=saving,
            seed=0,
            checkpoint=folder,
            signature=signature,
        )
        return weights(model), len(loaded)

    first, steps = fitted("a")
    again, steps_again = fitted("a")
    other, steps_other = fitted("b")
    assert (steps, steps_again, steps_other) == (10, 0, 10)
    assert torch.equal(first, again)
    assert torch.equal(first, other)


def test_a_training_killed_at_any_moment_ends_with_the_same_bits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROCESSES, "killed", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int((tmp_path / "kills").read_text()) >= 3, (
        "it was not killed often enough to show anything"
    )
    steps = (tmp_path / "steps.log").read_text().split()
    assert steps.count("whole") == 60
    # A kill costs the step under way, or a few before the first checkpoint; not the training.
    assert steps.count("killed") <= 60 + 6 * 2
    whole, killed = (load_file(tmp_path / f"{n}.safetensors") for n in ("whole", "killed"))
    for name, tensor in whole.items():
        assert torch.equal(killed[name], tensor), name
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "killed.parquet"),
        pd.read_parquet(tmp_path / "whole.parquet"),
        check_exact=True,
    )


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    runpy.run_path(str(PROCESSES))["distributed"](tmp_path)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, PROCESSES, "distributed", tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = load_file(tmp_path / "of_1_rank_0.safetensors")
    first, second = (load_file(tmp_path / f"of_2_rank_{rank}.safetensors") for rank in (0, 1))
    for name, tensor in expected.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, rtol=0, atol=1e-6)
