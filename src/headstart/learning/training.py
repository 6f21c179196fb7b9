"""The one training loop of the project, over accelerate.

One optimizer step is a pure function of the state (weights, optimizer, batch-norm statistics) and
the step's number: the order of an epoch's examples comes from (seed, epoch), and every random
number of a step from (seed, step), those of dropout from (seed, step, process). So a training that
goes on from a checkpoint ends with the weights of one that was never interrupted, and no state of a
random generator has to be saved.

A step minimizes the mean of the objective over its batch B by AdamW (Loshchilov and Hutter 2019).
The batch may be cut, over the processes and within each into micro-batches B_1 ... B_m one after
the other:

    grad = sum_i |B_i| / |B| grad L(B_i)

which is the gradient of the whole batch wherever L is a mean over examples. Several processes do
what one does with the same batch: each draws the augmentation of all of it and takes its share,
batch norm takes the statistics of all shares, and a loss that compares examples gathers them.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    broadcast_object_list,
    gather_object,
    recursively_apply,
    send_to_device,
)
from torch import nn
from tqdm import tqdm

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import Checkpoint, CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.schedule import learning_rate_factor, planned_steps, steps_per_epoch
from headstart.learning.sharding import divided, divided_like, gather, is_sharded, whole_tensor
from headstart.learning.synchronized_batch_norm import NORMS, synchronized_batch_norm

logger = logging.getLogger(__name__)

Objective = Callable[[nn.Module, Any], torch.Tensor | tuple[torch.Tensor, Mapping[str, Any]]]
"""From the model and a batch to a loss, the mean over the batch's examples (or a vector of such
means, for `backward`); if wanted with more values for the history, as (loss, {name: value})."""

_ORDER, _STEP, _LOAD = range(3)  # separate streams of random numbers out of one seed
_HISTORY = ["step", "epoch", "name", "value"]


@dataclass(frozen=True)
class TrainingData:
    """What is learned from.

    Attributes:
        size: number of examples in an epoch (images, or tasks in meta-learning).
        load: from the numbers of some examples (int64, shape (n,), each below `size`) and a random
            generator on the training device to a batch: a tensor, or tuples, lists and
            dictionaries of tensors, each with the n examples along its first dimension. All
            randomness has to come from the generator.
        shuffle: a new order each epoch; False: the examples' own order.
        regroup: from the batches of an epoch (numbers of examples) and a random generator to those
            that are taken instead, as many, in their order; None: as they are.
    """

    size: int
    load: Callable[[np.ndarray, torch.Generator], Any]
    shuffle: bool = True
    regroup: Callable[[list[np.ndarray], np.random.Generator], list[np.ndarray]] | None = None


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        parameters: of the model.
        scale: the learning rate is multiplied by it.
    """

    parameters: Sequence[nn.Parameter]
    scale: float = 1.0


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes:
        history: tidy: step (steps done), epoch, name ("train_loss", "learning_rate", what the
            objective and the evaluation give), value. Training values are means over the steps
            since the row before.
        best_step: steps after which the weights that the model now has were reached.
        steps: steps done.
        stopped_early: the validation loss had not improved for `patience` evaluations.
        seconds: wall-clock time, that before interruptions included.
        seconds_before: the part of it before the last interruption.
    """

    history: pd.DataFrame
    best_step: int
    steps: int
    stopped_early: bool
    seconds: float
    seconds_before: float


@dataclass
class _Progress:
    """All of a training's state that is not a tensor."""

    step: int = 0
    micro_batches: int = 1
    best_step: int = 0
    best_loss: float = math.inf
    waited: int = 0
    stopped_early: bool = False
    seconds: float = 0.0
    history: list[list[Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0


def train(
    model: nn.Module,
    objective: Objective,
    data: TrainingData,
    *,
    parameters: TrainingParameters,
    compute: ComputeParameters,
    seed: int,
    groups: Sequence[ParameterGroup] | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    on_epoch: Callable[[nn.Module, int], None] | None = None,
    divisible: bool = True,
    backward: Callable[[torch.Tensor], None] | None = None,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
    last_step: int | None = None,
    description: str = "train",
) -> TrainingResult:
    """Train a model in place.

    Under several processes (`headstart.learning.processes`, torchrun) every process calls this
    with the same arguments; each batch is shared out, gradients are summed, and the first process
    writes the checkpoints. With `compute.sharding` "full" a divided copy of the model is trained.

    Args:
        model: what is trained; it ends on the training device, with the best weights.
        objective: the loss. It may use the model as it likes (`torch.func`, several calls); a
            divided one it has to call.
        data: what is learned from.
        parameters: how long and how.
        compute: device, precision, micro-batches, checkpoints, progress bar.
        seed: of the order, augmentation and dropout; not of the initial weights.
        groups: what is trained, with scales of the learning rate; None: every parameter that
            requires a gradient.
        evaluate: from the model (in evaluation mode, no gradients) to scores for the history, at
            `parameters.evaluations` evenly spaced steps. Its "validation_loss" decides which
            weights are kept (the lowest; among equals the earliest) and when to stop early.
            Without one the last weights are kept.
        on_epoch: called with what is trained (of a divided model its copy), already in training
            mode, and the epoch's number (from 0): for freezing. Called again after each evaluation
            and after a resume, so what it does may depend on its arguments alone.
        divisible: whether a batch may be cut into micro-batches: whether the objective is a mean
            over examples. A contrastive loss is not, each example is compared with all others.
        backward: makes gradients out of the loss, for gradient surgery; None: `loss.backward()`.
        checkpoint: where to save the state every `compute.checkpoint_seconds`, and to go on from.
        signature: of everything that this training is made of (`make_signature`).
        last_step: stop after so many steps, the schedule being that of the whole training.
        description: stands before the progress bar, and in messages.

    Raises:
        HeadstartError: there is nothing to learn from; the loss is not finite; not even one
            example fits into memory; the precision does not go with the device, or the objective
            not with several processes or with `compute.sharding`.
    """
    if is_sharded(compute) and backward is not None:
        raise HeadstartError(
            f"{description}: compute.sharding: full does not go with a method that makes gradients "
            "of its own; take none."
        )
    if data.size < 1:
        raise HeadstartError(f"{description}: there is no example to learn from.")
    accelerator = make_accelerator(compute)
    if accelerator.num_processes > 1 and backward is not None and not divisible:
        raise HeadstartError(
            f"{description}: its gradients are made out of a whole batch, which several processes "
            "cannot share out; take compute.processes: 1."
        )
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _deterministic():
        training = _Training(
            model=model,
            objective=objective,
            data=data,
            parameters=parameters,
            compute=compute,
            seed=seed,
            groups=groups,
            evaluate=evaluate,
            on_epoch=on_epoch,
            divisible=divisible,
            backward=backward,
            checkpoint=checkpoint,
            signature=signature,
            last_step=last_step,
            description=description,
            accelerator=accelerator,
        )
        return training.run()


def make_accelerator(compute: ComputeParameters) -> Accelerator:
    """Accelerate, set up for one training.

    Its state is global to the process: what an earlier training asked for is forgotten first, so
    that trainings of different precision can follow each other.

    Raises:
        HeadstartError: the device is not there, or cannot compute in that precision.
    """
    from headstart.learning.encoders import choose_device

    device = choose_device(compute)
    if compute.precision == "fp16" and device.type != "cuda":
        raise HeadstartError(
            f"compute.precision: fp16 needs a CUDA device, this is '{device.type}'; use fp32 or "
            "bf16."
        )
    if compute.precision == "fp16" and is_sharded(compute):
        raise HeadstartError("compute.sharding: full does not go with fp16; use bf16 or fp32.")
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    precision = "no" if compute.precision == "fp32" else compute.precision
    return Accelerator(cpu=device.type == "cpu", mixed_precision=precision)


@dataclass
class _Training:
    """One call of `train`: its arguments and what it makes of them."""

    model: nn.Module
    objective: Objective
    data: TrainingData
    parameters: TrainingParameters
    compute: ComputeParameters
    seed: int
    groups: Sequence[ParameterGroup] | None
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None
    on_epoch: Callable[[nn.Module, int], None] | None
    divisible: bool
    backward: Callable[[torch.Tensor], None] | None
    checkpoint: CheckpointFolder | None
    signature: str
    last_step: int | None
    description: str
    accelerator: Accelerator

    def __post_init__(self) -> None:
        groups = self.groups or [
            ParameterGroup([p for p in self.model.parameters() if p.requires_grad])
        ]
        names = {id(p): name for name, p in self.model.named_parameters()}
        self.sharded = is_sharded(self.compute)
        if self.sharded:
            self.network = divided(self.model, self.accelerator.device)
        else:
            self.network = self.model.to(self.accelerator.device)
        own = dict(self.network.named_parameters())
        self.optimizer = self.accelerator.prepare_optimizer(
            torch.optim.AdamW(
                [
                    {"params": [own[names[id(p)]] for p in g.parameters], "scale": g.scale}
                    for g in groups
                ],
                lr=self.parameters.learning_rate,
                weight_decay=self.parameters.weight_decay,
                fused=True,
            )
        )
        trained = {names[id(p)] for g in groups for p in g.parameters}
        self.trained = {name: p for name, p in own.items() if name in trained}
        # What a step may change, and so what a checkpoint holds: a frozen body is not saved.
        self.tensors = {**self.trained, **dict(self.network.named_buffers())}
        self.called = (
            cast(nn.Module, torch.compile(self.network)) if self.compute.compile else self.network
        )
        # Where processes meet in the midst of a loss they cannot each start it again.
        self.meets_in_loss = self.accelerator.num_processes > 1 and (
            self.sharded
            or not self.divisible
            or any(isinstance(m, NORMS) for m in self.network.modules())
        )
        self.epoch_steps = steps_per_epoch(self.data.size, self.parameters.batch_size)
        self.total = planned_steps(self.parameters, self.data.size)
        self.end = min(self.total, self.last_step or self.total)
        count = min(self.parameters.evaluations, self.total)
        self.evaluated = {round(self.total * (i + 1) / count) for i in range(count)} | {self.end}
        self.best: dict[str, torch.Tensor] = {}
        pieces = self.compute.gradient_accumulation if self.divisible else 1
        self.progress = _Progress(micro_batches=pieces)

    def run(self) -> TrainingResult:
        self._resume()
        progress = self.progress
        before = progress.seconds
        started = time.monotonic() - before
        self.saved = time.monotonic()
        self._training_mode()
        with tqdm(
            total=self.end,
            initial=progress.step,
            desc=self.description,
            unit="step",
            disable=not (self.compute.progress and self.accelerator.is_main_process),
        ) as bar:
            while progress.step < self.end and not progress.stopped_early:
                values, save = self._step(progress.step)
                progress.step += 1
                self._count(values)
                if progress.step in self.evaluated:
                    self._evaluate()
                if progress.step in self.evaluated or progress.step % self.epoch_steps == 0:
                    self._training_mode()
                bar.set_postfix(loss=f"{values['train_loss']:.4g}", refresh=False)
                bar.update()
                progress.seconds = time.monotonic() - started
                if save:
                    self._save()
                    self.saved = time.monotonic()
        if self.best:
            self._write(self.best)
        if self.sharded:
            gather(self.network, self.model.to(self.accelerator.device))
        parameters = dict(self.model.named_parameters())
        if not all(parameters[name].isfinite().all() for name in self.trained):
            raise HeadstartError(
                f"{self.description}: the weights are not finite after step {progress.step}; "
                f"lower the learning_rate (it is {self.parameters.learning_rate:g})."
            )
        return TrainingResult(
            history=pd.DataFrame(progress.history, columns=_HISTORY).astype(
                {"step": "int64", "epoch": "int64", "name": "str", "value": "float64"}
            ),
            best_step=progress.best_step if self.best else progress.step,
            steps=progress.step,
            stopped_early=progress.stopped_early,
            seconds=progress.seconds,
            seconds_before=before,
        )

    def _training_mode(self) -> None:
        self.network.train()
        if self.on_epoch is not None:
            self.on_epoch(self.network, self.progress.step // self.epoch_steps)

    def _step(self, step: int) -> tuple[dict[str, float], bool]:
        """One step of the optimizer.

        Returns:
            Values for the history, means over the batch; and whether it is time for a checkpoint.
        """
        factor = learning_rate_factor(self.parameters, step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = self.parameters.learning_rate * factor * group["scale"]
        values, save = self._reduce(*self._fitting_gradients(step))
        if not math.isfinite(values["train_loss"]):
            raise HeadstartError(
                f"{self.description}: the loss is {values['train_loss']} at step {step + 1} of "
                f"{self.total}; lower the learning_rate (it is "
                f"{self.parameters.learning_rate:g}) or clip_norm."
            )
        if self.parameters.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.trained.values(), self.parameters.clip_norm)
        for parameter in self.trained.values():
            # The fused optimizer pairs numbers by their place in memory, and does not check.
            gradient = parameter.grad
            if gradient is not None and gradient.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return values | {"learning_rate": self.parameters.learning_rate * factor}, save

    def _fitting_gradients(self, step: int) -> tuple[dict[str, float], float]:
        """The step's gradients, with twice the micro-batches as often as memory runs out.

        Returns:
            Values for the history, and this process's weight in them.
        """
        indices = self._batch(step)
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        shares = np.array_split(np.arange(len(indices)), processes)
        share = shares[process]
        weight = len(share) / len(indices)
        if len(indices) < processes and not self.divisible:
            raise HeadstartError(
                f"{self.description}: its loss compares all of a batch, and {len(indices)} "
                f"examples cannot be shared out to {processes} processes; raise "
                "training.batch_size or lower compute.processes."
            )
        if len(share) == 0:  # more processes than examples: go along, and count for nothing
            share = shares[0][:1]
        fewest = max(1, len(indices) // processes)  # of any process
        buffers = [b.clone() for b in self.network.buffers()]
        while True:
            parts = min(self.progress.micro_batches, fewest)
            try:
                return self._gradients(step, indices, share, weight, parts), weight
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                if self.meets_in_loss and self.divisible:
                    raise HeadstartError(
                        f"{self.description}: a share of {len(share)} of a batch does not fit into "
                        f"the memory of '{self.accelerator.device}'. Set compute."
                        f"gradient_accumulation to {2 * parts}, or lower training.batch_size."
                    ) from error
            # Outside of the handler, whose traceback keeps the tensors of the failed try alive.
            self.optimizer.zero_grad()
            with torch.no_grad():
                for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            if not self.divisible:
                raise HeadstartError(
                    f"{self.description}: a batch of {len(share)} does not fit into the memory "
                    f"of '{self.accelerator.device}', and its loss compares all of the batch, so "
                    f"it cannot be cut; lower its training.batch_size (it is "
                    f"{self.parameters.batch_size}) or its image_size."
                )
            if parts >= fewest:
                raise HeadstartError(
                    f"{self.description}: not even one example at a time fits into the memory of "
                    f"'{self.accelerator.device}'; use a smaller network or smaller inputs."
                )
            self.progress.micro_batches = min(2 * parts, fewest)
            logger.warning(
                "%s: out of memory; going on with %d micro-batches a step (set "
                "compute.gradient_accumulation to that to start so).",
                *(self.description, self.progress.micro_batches),
            )

    def _gradients(
        self, step: int, indices: np.ndarray, share: np.ndarray, weight: float, parts: int
    ) -> dict[str, float]:
        """Add up the gradients of this process's micro-batches; values weighted likewise."""
        process = self.accelerator.process_index
        torch.manual_seed(_random_seed(self.seed, _STEP, step, process))
        generator = torch.Generator(self.accelerator.device)
        generator.manual_seed(_random_seed(self.seed, _LOAD, step, 0))
        batch = send_to_device(self.data.load(indices, generator), self.accelerator.device)
        values: dict[str, torch.Tensor] = {}
        start, n = int(share[0]), len(share)
        cuts = [start + n * i // parts for i in range(parts + 1)]
        alone = self.accelerator.num_processes == 1
        # A divided network's gradients are means over the processes, and are to be sums.
        scale = self.accelerator.num_processes if self.sharded else 1
        for first, last in pairwise(cuts):
            whole = last - first == len(indices)
            part = batch if whole else recursively_apply(_rows(first, last), batch)
            with (
                self.accelerator.autocast(),
                nullcontext() if alone else synchronized_batch_norm(self.network, weight > 0),
            ):
                outcome = self.objective(self.called, part)
            loss, extras = outcome if isinstance(outcome, tuple) else (outcome, {})
            part_weight = weight * (last - first) / n
            if self.backward is None:
                self.accelerator.backward(loss * (part_weight * scale))
            else:
                scaler = self.accelerator.scaler
                scaled = loss * part_weight
                self.backward(scaled if scaler is None else scaler.scale(scaled))
            for name, value in {"train_loss": loss, **extras}.items():
                mean = torch.as_tensor(value, device=loss.device).detach().float().mean()
                values[name] = values.get(name, torch.zeros_like(mean)) + part_weight * mean
        stacked = torch.stack(list(values.values())).tolist()
        return dict(zip(values, stacked, strict=True))

    def _reduce(self, values: dict[str, float], weight: float) -> tuple[dict[str, float], bool]:
        """Sum gradients and values over the processes, average running statistics.

        Returns:
            The values, and whether the first process finds it time for a checkpoint.
        """
        save = time.monotonic() - self.saved >= self.compute.checkpoint_seconds
        if self.accelerator.num_processes == 1:
            return values, save
        gradients = [p.grad for p in self.trained.values() if p.grad is not None]
        if self.sharded:  # those are summed already
            gradients = []
        statistics = [b for b in self.network.buffers() if b.is_floating_point()]
        told = float(save and self.accelerator.is_main_process)
        numbers = torch.tensor([*values.values(), told], device=self.accelerator.device)
        tensors = [*gradients, *(s * weight for s in statistics), numbers]
        flat = torch.cat([t.flatten() for t in tensors])
        parts = self.accelerator.reduce(flat, "sum").split([t.numel() for t in tensors])
        with torch.no_grad():
            for tensor, part in zip([*gradients, *statistics, numbers], parts, strict=True):
                tensor.copy_(part.view_as(tensor))
        *means, told = numbers.tolist()
        return dict(zip(values, means, strict=True)), told > 0

    def _batch(self, step: int) -> np.ndarray:
        """Numbers of the examples of a step, all processes together."""
        epoch, position = divmod(step, self.epoch_steps)
        if not self.data.shuffle and self.data.regroup is None:
            # An epoch may be millions of tasks long: no list of all of them for each step.
            first, last = (self.data.size * (position + i) // self.epoch_steps for i in (0, 1))
            return np.arange(first, last)
        generator = np.random.default_rng([self.seed, _ORDER, epoch])
        order = np.arange(self.data.size)
        if self.data.shuffle:
            order = generator.permutation(order)
        edges = [self.data.size * i // self.epoch_steps for i in range(self.epoch_steps + 1)]
        if self.data.regroup is not None:
            return self.data.regroup(np.split(order, edges[1:-1]), generator)[position]
        return order[edges[position] : edges[position + 1]]

    def _count(self, values: dict[str, float]) -> None:
        """Add a step's values to the means of the next rows of the history."""
        progress = self.progress
        for name, value in values.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.summed += 1

    def _evaluate(self) -> None:
        progress = self.progress
        rows = {name: total / progress.summed for name, total in progress.sums.items()}
        progress.sums, progress.summed = {}, 0
        if self.evaluate is not None:
            if self.sharded:
                gather(self.network, self.model.to(self.accelerator.device))
            self.model.eval()
            with torch.no_grad():
                scores = dict(self.evaluate(self.model))
            if self.sharded:
                self._take_buffers()
                self.model.cpu()
            rows |= broadcast_object_list([scores])[0]
            if "validation_loss" in rows:
                self._keep_best(rows["validation_loss"])
        epoch = (progress.step - 1) // self.epoch_steps
        progress.history += [[progress.step, epoch, name, value] for name, value in rows.items()]

    def _keep_best(self, loss: float) -> None:
        progress = self.progress
        if not math.isfinite(loss):
            raise HeadstartError(
                f"{self.description}: the validation loss is {loss} after step {progress.step}; "
                f"lower the learning_rate (it is {self.parameters.learning_rate:g})."
            )
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.waited = loss, progress.step, 0
            self.best = {name: t.detach().clone() for name, t in self.tensors.items()}
            return
        progress.waited += 1
        patience = self.parameters.patience
        progress.stopped_early = patience is not None and progress.waited >= patience

    def _write(self, tensors: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(divided_like(tensors[name], tensor))

    def _take_buffers(self) -> None:
        """An evaluation may renew the running statistics of the model."""
        buffers = dict(self.model.named_buffers())
        with torch.no_grad():
            for name, buffer in self.network.named_buffers():
                buffer.copy_(buffers[name])

    def _save(self) -> None:
        if self.checkpoint is None or not (self.accelerator.is_main_process or self.sharded):
            return
        optimizer = self.optimizer.optimizer
        tensors = {f"model/{name}": tensor for name, tensor in self.tensors.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for name, parameter in self.trained.items():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{key}/{name}"] = value
        if self.sharded:  # one after the other, so that the device never holds all of them
            first = self.accelerator.is_main_process
            for name, tensor in tensors.items():
                whole = whole_tensor(tensor)
                tensors[name] = whole.cpu() if first else torch.empty(0)
            if not first:
                return
        scaler = self.accelerator.scaler
        metadata = {
            "progress": asdict(self.progress),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        self.checkpoint.save(tensors, metadata, signature=self.signature)

    def _resume(self) -> None:
        found = self.checkpoint.load(signature=self.signature) if self.checkpoint else None
        # Nobody writes the next checkpoint before everybody has read this one.
        step = -1 if found is None else found.metadata["progress"]["step"]
        if len(set(gather_object([step]))) > 1:
            raise HeadstartError(
                f"{self.description}: not all machines see the same checkpoints. The data folder "
                "has to lie where all of them read and write it, at the same path."
            )
        if found is None:
            return
        optimizer = self.optimizer.optimizer
        self._write(_under(found, "model"))
        self.best = {
            name: divided_like(tensor.to(self.accelerator.device), self.tensors[name])
            for name, tensor in _under(found, "best").items()
        }
        for path, value in _under(found, "optimizer").items():
            key, name = path.split("/", 1)
            parameter = self.trained[name]
            # The step counter is a scalar; the moments lie in memory as their parameter does.
            like = parameter if value.shape == parameter.shape else value
            optimizer.state[parameter][key] = torch.empty_like(
                like, dtype=value.dtype, device=parameter.device
            ).copy_(divided_like(value, like))
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(found.metadata["scaler"])
        self.progress = _Progress(**found.metadata["progress"])
        logger.info("%s: goes on after step %d.", self.description, self.progress.step)


def _under(checkpoint: Checkpoint, prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}/"
    return {n.removeprefix(start): t for n, t in checkpoint.tensors.items() if n.startswith(start)}


def _rows(first: int, last: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor[first:last]


def _random_seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def _out_of_memory(error: RuntimeError) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "DefaultCPUAllocator: not enough memory" in text


@contextmanager
def _deterministic() -> Iterator[None]:
    """Let torch choose algorithms that give the same bits each time, and warn where it has none."""
    deterministic: Any = torch.utils.deterministic
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for that
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # for debugging, and slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = before[2]
