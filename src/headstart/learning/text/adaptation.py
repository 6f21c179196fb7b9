"""A language model adapted to a target: a new classification layer, and what the method trains.

    theta', W, b = argmin 1/n sum_i -log softmax(W pool(f(x_i; theta, theta')) + b)[y_i]

theta' is all of theta (`fine_tune`; from random weights: `from_scratch`), A and B (`lora`), or the
biases (`bitfit`). The weights with the lowest validation loss are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from headstart.learning import linear_probe
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import Features, choose_device
from headstart.learning.fit_jobs import FitJob
from headstart.learning.fits import Fit
from headstart.learning.kept_fits import fit_once
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.text.frozen_layers import (
    count_frozen_layers,
    frozen_parts,
    run_frozen_layers,
    run_trained_layers,
)
from headstart.learning.text.language_model import (
    LanguageModel,
    hidden_states,
    pad,
    padding_of,
    pool,
    token_batches,
    tokenize,
    untrained,
)
from headstart.learning.text.length_groups import group_by_length
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.learning.training import TrainingData, train

Batch = Mapping[str, torch.Tensor]

# From a network, the parameters of LoRA and a seed to the network that is trained.
Adaptation = Callable[[Any, Any, int], Any]


class TextClassifier(nn.Module):
    """A language model with a linear classification layer: tokens (n, length) -> logits (n, K).

    Args:
        network: encoder or causal model, width D.
        classes: K.
        pooling: how the states of a text's tokens are joined.

    Attributes:
        frozen: how many of the lowest layers are never trained.
    """

    def __init__(self, network: Any, classes: int, pooling: Any):
        super().__init__()
        self.network = network
        self.pooling = pooling
        self.frozen = 0
        self.head = nn.Linear(network.config.hidden_size, classes)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the classes, from tokens or from what the frozen layers made of them."""
        if tokens.is_floating_point():
            states = run_trained_layers(self.network, tokens, mask, self.frozen)
        else:
            states = hidden_states(self.network, tokens, mask)
        logits: torch.Tensor = self.head(pool(states, mask, self.pooling))
        return logits

    def train(self, mode: bool = True) -> TextClassifier:
        """Training mode, in which the frozen layers still have no dropout."""
        super().train(mode)
        for part in frozen_parts(self.network, self.frozen):
            part.eval()
        return self


@dataclass(frozen=True)
class TextFitPlan:
    """What all fits of one method on one target share.

    Attributes:
        model: where they start; of `from_scratch` only the architecture.
        name: of the representation.
        texts: of the target, N.
        labels: classes, shape (N,); -1 where a row has none.
        classes: K.
        features: the frozen representation (N, D), for a head that starts as a linear probe; None
            where it does not.
        parameters: how it is trained.
        lora: of the adapters; None where the method has none.
        compute: of each fit.
        adapt: what the method trains of the network; None: all of it.
        checkpoints: where fits under way and finished are kept; None: nowhere.
        made_of: fingerprints of the code, the model and the texts, for checkpoints' signatures.
    """

    model: LanguageModel
    name: str
    texts: Sequence[str]
    labels: np.ndarray
    classes: int
    features: np.ndarray | None
    parameters: TextAdaptationParameters
    lora: LoraParameters | None
    compute: ComputeParameters
    adapt: Adaptation | None = None
    checkpoints: CheckpointFolder | None = None
    made_of: Sequence[Any] = ()


def run_text_job(plan: TextFitPlan, job: FitJob) -> Fit:
    """One of many fits, unless an interrupted run has finished it already."""
    rows = [job.train, job.validation, job.test]
    signature = make_signature(
        *(job.identity, rows, [plan.labels[r] for r in rows], plan.parameters, plan.lora),
        *(plan.compute.deciding(), plan.made_of),
    )
    return fit_once(
        plan.checkpoints,
        job.identity,
        signature,
        lambda folder: fit_text(plan, job, checkpoint=folder, signature=signature)[0],
    )


def fit_text(
    plan: TextFitPlan,
    job: FitJob,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
    chosen: Mapping[str, Any] | None = None,
) -> tuple[Fit, TextClassifier]:
    """Adapt a language model to a target, once.

    Args:
        plan: model, texts and parameters.
        job: identity (its `seed` fixes new weights, order and dropout; the `method`
            `from_scratch` starts with new ones) and rows.
        checkpoint: where to save the training under way, and to go on from.
        signature: of everything that the fit is made of.
        chosen: `chosen` of an earlier fit, in a refit on training and validation rows together:
            nothing is chosen again, the same number of steps is done.

    Returns:
        The fit and the trained model.

    Raises:
        HeadstartError: as `headstart.learning.training.train`, or the method does not go with the
            model.
    """
    started = perf_counter()
    identity, parameters, compute = job.identity, plan.parameters, plan.compute
    seed, method = int(identity["seed"]), str(identity["method"])
    device = choose_device(compute)
    rows = np.concatenate([job.train, job.validation, job.test])
    picked = [plan.texts[row] for row in rows]
    tokenized = tokenize(plan.model.tokenizer, picked, parameters.most_tokens)
    ids = dict(zip(rows.tolist(), tokenized, strict=True))
    padding = padding_of(plan.model.tokenizer)
    with PeakMemory() as memory:
        start = (
            untrained(plan.model, seed).network
            if method == "from_scratch"
            else copy.deepcopy(plan.model.network)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = TextClassifier(start, plan.classes, parameters.pooling)
        head_choice = _initialize_head(model.head, plan, job, chosen or {})
        model.network = plan.adapt(start, plan.lora, seed) if plan.adapt else start
        model.frozen = count_frozen_layers(model.network)
        model.to(device)
        lengths = np.array([len(ids[row]) for row in job.train.tolist()])
        budget = compute.batch_size * parameters.most_tokens
        if model.frozen and parameters.keep_frozen:
            states = run_frozen_layers(
                model.network,
                list(ids.values()),
                count=model.frozen,
                padding=padding,
                batch_tokens=budget,
                device=device,
            )
            ids = dict(zip(ids, states, strict=True))

        def load(indices: np.ndarray, generator: torch.Generator) -> Batch:
            drawn = job.train[indices]
            tokens, mask = pad([ids[row] for row in drawn.tolist()], padding)
            true = torch.from_numpy(plan.labels[drawn])
            batch = {"tokens": tokens, "mask": mask, "labels": true}
            return {name: value.to(generator.device) for name, value in batch.items()}

        pooled = parameters.group_by_length

        def regroup(batches: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
            return group_by_length(batches, lengths, pooled or 1, generator)

        @torch.no_grad()
        def predict(asked: np.ndarray) -> torch.Tensor:
            model.eval()
            logits = torch.zeros(len(asked), plan.classes)
            texts = [ids[row] for row in asked.tolist()]
            for part in token_batches([len(text) for text in texts], budget):
                tokens, mask = pad([texts[i] for i in part], padding)
                logits[part] = model(tokens.to(device), mask.to(device)).float().cpu()
            return logits

        def evaluate(_: nn.Module) -> dict[str, float]:
            logits, true = predict(job.validation), torch.from_numpy(plan.labels[job.validation])
            return {
                "validation_loss": F.cross_entropy(logits, true).item(),
                "validation_accuracy": (logits.argmax(1) == true).double().mean().item(),
            }

        result = train(
            model,
            cross_entropy,
            TrainingData(len(job.train), load, regroup=regroup if pooled else None),
            parameters=parameters.training,
            compute=compute,
            seed=seed,
            evaluate=evaluate if len(job.validation) else None,
            checkpoint=checkpoint,
            signature=signature,
            last_step=(chosen or {}).get("steps"),
            description=f"{method} {identity['target']}, seed {seed}",
        )
        validation, test = (
            predict(asked).double().softmax(1).numpy() for asked in (job.validation, job.test)
        )
    fit = Fit(
        identity=identity,
        validation=validation,
        test=test,
        n_train=len(job.train),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        total_parameters=sum(p.numel() for p in model.parameters()),
        train_seconds=perf_counter() - started + result.seconds_before,
        peak_memory_bytes=memory.bytes,
        chosen={**head_choice, "steps": result.best_step},
        history=result.history,
    )
    return fit, model


def cross_entropy(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The objective -1/n sum_i log softmax(model(x_i))[y_i], with the accuracy beside it."""
    logits = model(batch["tokens"], batch["mask"]).float()
    accuracy = (logits.argmax(1) == batch["labels"]).float().mean()
    return F.cross_entropy(logits, batch["labels"]), {"train_accuracy": accuracy}


def _initialize_head(
    head: nn.Linear, plan: TextFitPlan, job: FitJob, chosen: Mapping[str, Any]
) -> dict[str, Any]:
    """Set the classification layer's initial weights; what was chosen for them."""
    parameters = plan.parameters
    if parameters.head_initialization == "zeros":
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    if parameters.head_initialization != "linear_probe" or plan.features is None:
        return {}
    probe, weights = linear_probe.fit_linear_probe(
        Features(plan.name, plan.features, plan.model.parameters),
        plan.labels,
        train=job.train,
        validation=job.validation,
        test=job.test[:0],
        classes=plan.classes,
        strengths=[chosen["head_strength"]] if chosen else parameters.head_strengths,
        identity={},
    )
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights["weight"]))
        head.bias.copy_(torch.from_numpy(weights["bias"]))
    return {"head_strength": probe.chosen["strength"]}
