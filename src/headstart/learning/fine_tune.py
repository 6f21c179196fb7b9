"""Fine-tuning: a network's classification layer is replaced, and all of it trained on the target.

    theta, W, b = argmin 1/n sum_i -log softmax(W f_theta(x_i) + b)[y_i]

f_theta is the encoder. Fine-tuning starts at its pretrained weights; training from scratch, the
baseline of every transfer gain, at random ones. How far the descent goes is chosen on the
validation rows: the weights with the lowest validation loss are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning import linear_probe
from headstart.learning.augmentation import augment
from headstart.learning.batch_norm import precise_batch_norm
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import (
    AdaptationParameters,
    AugmentationParameters,
    ComputeParameters,
)
from headstart.learning.encoders import (
    Encoder,
    Features,
    choose_device,
    preprocess,
    random_network,
    to_network,
)
from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import Fit
from headstart.learning.kept_fits import fit_once
from headstart.learning.layer_groups import layer_groups, parameter_groups, set_trained
from headstart.learning.mapped_arrays import MappedArray, opened
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.sharding import is_sharded
from headstart.learning.training import (
    TrainingData,
    train,
)


class Classifier(nn.Module):
    """An encoder with a linear classification layer on top: (n, C, H, W) -> logits (n, K).

    Args:
        encoder: (n, C, H, W) -> (n, D).
        dimension: D.
        classes: K.
    """

    def __init__(self, encoder: nn.Module, dimension: int, classes: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(dimension, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the classes."""
        return self.head(self.encoder(images))


@dataclass(frozen=True)
class FitPlan:
    """What all fits of one method on one target share.

    Attributes:
        encoder: gives architecture and, unless `from_scratch`, initial weights.
        from_scratch: start from random weights, new for each seed.
        images: of the target, uint8, shape (N, H, W, C), or where they are mapped from.
        labels: classes, shape (N,); -1 where a row has none.
        classes: K.
        parameters: how the network is trained.
        compute: of each fit.
        checkpoints: where fits under way and finished are kept; None: nowhere.
        made_of: fingerprints of the code and of the images, for the signatures of checkpoints.
    """

    encoder: Encoder
    from_scratch: bool
    images: np.ndarray | MappedArray
    labels: np.ndarray
    classes: int
    parameters: AdaptationParameters
    compute: ComputeParameters
    checkpoints: CheckpointFolder | None = None
    made_of: Sequence[Any] = ()


def run_job(plan: FitPlan, job: FitJob) -> Fit:
    """One of many fits, unless an interrupted run has finished it already."""
    signature = _signature(plan, job)

    def fit(folder: CheckpointFolder | None) -> Fit:
        made, _, _ = fit_network(
            plan.encoder,
            opened(plan.images),
            plan.labels,
            train_rows=job.train,
            validation_rows=job.validation,
            test_rows=job.test,
            classes=plan.classes,
            parameters=plan.parameters,
            compute=plan.compute,
            identity=job.identity,
            from_scratch=plan.from_scratch,
            checkpoint=folder,
            signature=signature,
        )
        return made

    return fit_once(plan.checkpoints, job.identity, signature, fit)


def fit_network(
    encoder: Encoder,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    test_rows: np.ndarray,
    classes: int,
    parameters: AdaptationParameters,
    compute: ComputeParameters,
    identity: dict[str, Any],
    from_scratch: bool = False,
    chosen: dict[str, Any] | None = None,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
) -> tuple[Fit, Encoder, dict[str, np.ndarray]]:
    """Train a network on a target.

    Args:
        encoder: gives the architecture and, unless `from_scratch`, the initial weights.
        images: of the target, uint8, shape (N, H, W, C).
        labels: class of each row, integers, shape (N,); only those of the rows below are read.
        train_rows: rows to learn from.
        validation_rows: rows that the number of steps is chosen on; empty in a refit.
        test_rows: rows to predict; may be empty.
        classes: number of classes K.
        parameters: how the network is trained.
        compute: device, precision and so on.
        identity: the columns of `headstart.learning.fits.IDENTITY`; its seed fixes new weights,
            order and augmentation.
        from_scratch: start from random weights.
        chosen: `chosen` of an earlier fit, in a refit on training and validation rows together:
            nothing is chosen again, the same number of steps is done.
        checkpoint: where to save the training under way, and to go on from.
        signature: of everything that the fit is made of.

    Returns:
        The fit, the trained encoder, and the trained head ("weight" (K, D), "bias" (K,)).

    Raises:
        HeadstartError: as `headstart.learning.training.train`.
    """
    started = perf_counter()
    seed = int(identity["seed"])
    if parameters.unfreeze_every is not None and is_sharded(compute):
        raise HeadstartError(
            "compute.sharding: full does not go with unfreeze_every, which trains other layers in "
            "each epoch; take none, or set unfreeze_every to null."
        )
    if parameters.image_size is not None:
        encoder = replace(encoder, config={**encoder.config, "image_size": parameters.image_size})
    if from_scratch:
        size = encoder.config["image_size"]
        encoder = replace(
            encoder, tensors=random_network(encoder.config["kind"], size, seed).tensors
        )
    chosen = dict(chosen or {})
    with PeakMemory() as memory:
        model, head_choice = _initial_model(
            encoder, images, labels, train_rows, validation_rows, classes, parameters, compute,
            seed, chosen.get("head_strength"),
        )  # fmt: skip
        groups = layer_groups(model.encoder)
        predict = partial(_outputs, model, encoder.config, images, compute=compute)

        def renew_statistics() -> None:
            device = next(model.parameters()).device
            precise_batch_norm(
                model,
                lambda rows: _pixels(images, rows, encoder.config, device),
                train_rows,
                most_rows=parameters.batch_norm_rows,
                batch_size=parameters.training.batch_size,
            )

        def evaluate(model: nn.Module) -> dict[str, float]:
            if parameters.batch_norm == "train":
                renew_statistics()
            logits = predict(validation_rows)
            target = torch.from_numpy(labels[validation_rows])
            return {
                "validation_loss": F.cross_entropy(logits, target).item(),
                "validation_accuracy": (logits.argmax(1) == target).double().mean().item(),
            }

        result = train(
            model,
            cross_entropy,
            TrainingData(
                size=len(train_rows),
                load=partial(
                    _load, images, labels, train_rows, encoder.config, parameters.augmentation
                ),
            ),
            parameters=parameters.training,
            compute=compute,
            seed=seed,
            groups=parameter_groups(model.head, groups, parameters),
            evaluate=evaluate if len(validation_rows) else None,
            on_epoch=lambda m, epoch: set_trained(m, groups, epoch, parameters),
            checkpoint=checkpoint,
            signature=signature,
            last_step=chosen.get("steps"),
            description=f"{identity['method']} {identity['target']}, seed {seed}",
        )
        if parameters.batch_norm == "train" and not len(validation_rows):
            renew_statistics()
        validation, test = (
            predict(rows).double().softmax(1).numpy() for rows in (validation_rows, test_rows)
        )
    parameter_count = sum(p.numel() for p in model.parameters())
    fit = Fit(
        identity=identity,
        validation=validation,
        test=test,
        n_train=len(train_rows),
        trainable_parameters=parameter_count,
        total_parameters=parameter_count,
        train_seconds=perf_counter() - started + result.seconds_before,
        peak_memory_bytes=memory.bytes,
        chosen={**head_choice, "steps": result.best_step},
        history=result.history,
    )
    trained = replace(encoder, tensors=_arrays(model.encoder))
    return fit, trained, _arrays(model.head)


def cross_entropy(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The objective -1/n sum_i log softmax(model(x_i))[y_i], with the accuracy beside it."""
    images, labels = batch
    logits = model(images).float()
    accuracy = (logits.argmax(1) == labels).float().mean()
    return F.cross_entropy(logits, labels), {"train_accuracy": accuracy}


def _initial_model(
    encoder: Encoder,
    images: np.ndarray,
    labels: np.ndarray,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    classes: int,
    parameters: AdaptationParameters,
    compute: ComputeParameters,
    seed: int,
    head_strength: float | None,
) -> tuple[Classifier, dict[str, Any]]:
    """The classifier before its training, and what was chosen for its head."""
    network = to_network(encoder).eval()
    device = choose_device(compute)
    with torch.no_grad():
        dimension = network(_pixels(images, train_rows[:1], encoder.config, "cpu")).shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(network, dimension, classes)
    model.to(device).to(memory_format=torch.channels_last)
    head = model.head
    if parameters.head_initialization == "random":
        return model, {}
    if parameters.head_initialization == "zeros":
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return model, {}
    rows = np.concatenate([train_rows, validation_rows])
    place = np.arange(len(rows))
    features = _outputs(model.encoder, encoder.config, images, rows, compute)
    probe, weights = linear_probe.fit_linear_probe(
        Features(encoder.name, features.numpy(), encoder.parameters),
        labels[rows],
        train=place[: len(train_rows)],
        validation=place[len(train_rows) :],
        test=place[:0],
        classes=classes,
        strengths=parameters.head_strengths if head_strength is None else [head_strength],
        identity={},
    )
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights["weight"]))
        head.bias.copy_(torch.from_numpy(weights["bias"]))
    return model, {"head_strength": probe.chosen["strength"]}


def _load(
    images: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    config: Mapping[str, Any],
    augmentation: AugmentationParameters,
    indices: np.ndarray,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A training batch: augmented images (n, C, H, W) and their classes (n,)."""
    picked = rows[indices]
    pixels = _pixels(images, picked, config, generator.device)
    return augment(pixels, generator, augmentation), torch.from_numpy(labels[picked])


def _pixels(
    images: np.ndarray,
    rows: np.ndarray,
    config: Mapping[str, Any],
    device: torch.device | str,
) -> torch.Tensor:
    return preprocess(torch.from_numpy(np.array(images[rows])).to(device), config)


@torch.no_grad()
def _outputs(
    network: nn.Module,
    config: Mapping[str, Any],
    images: np.ndarray,
    rows: np.ndarray,
    compute: ComputeParameters,
) -> torch.Tensor:
    """What a network in evaluation mode gives for some rows, on the CPU, shape (n, ...)."""
    network.eval()
    device = next(network.parameters()).device
    # At least one batch, so that no rows give an empty tensor of the right width.
    batches = np.array_split(rows, max(1, -(-len(rows) // compute.batch_size)))
    return torch.cat([network(_pixels(images, b, config, device)).float().cpu() for b in batches])


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.detach().cpu().numpy().copy() for name, t in module.state_dict().items()}


def _signature(plan: FitPlan, job: FitJob) -> str:
    """Of all that decides a fit."""
    # Random weights come from the seed: only the architecture is the encoder's.
    encoder = plan.encoder.config if plan.from_scratch else plan.encoder
    rows = [job.train, job.validation, job.test]
    labels = [plan.labels[r] for r in rows]
    machine = plan.compute.deciding()
    return make_signature(
        job.identity, rows, labels, encoder, plan.parameters, machine, plan.made_of
    )
