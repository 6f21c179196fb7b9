"""One step of each method, on a model and a batch of the planned size.

A step is what runs between two updates: the forward passes and, where something is trained, the
backward pass. What is in the batch does not matter, its shape does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.task_network import Normalization, TaskNetwork
from headstart.learning.planning.four_bit import quantize
from headstart.learning.planning.maml_step import maml_loss
from headstart.learning.planning.models import (
    CONV4,
    Configurations,
    build_model,
    repeated_layers,
)
from headstart.learning.planning.parameters import (
    OptimizerName,
    PlannedMethod,
    PlannedModel,
    Precision,
)
from headstart.learning.pretext.contrastive import info_nce
from headstart.learning.text.bitfit import train_biases
from headstart.learning.text.lora import add_lora
from headstart.learning.text.masked_language import MaskedLanguageModel, masked_loss
from headstart.learning.text.next_word import next_word_loss
from headstart.learning.text.parameters import LoraParameters

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "bf16_mixed": torch.float32,  # of what is stored
    "fp16_mixed": torch.float32,
}
HALF_OF: dict[Precision, Precision] = {"bf16_mixed": "bf16", "fp16_mixed": "fp16"}
_IMAGES_ONLY = ("contrastive", "maml")
_ADAPTERS = ("lora", "qlora")
_TRANSFORMERS_ONLY = (*_ADAPTERS, "bitfit", "masked_language")
_TEMPERATURE = 0.1  # of what is never computed


@dataclass(frozen=True)
class Job:
    """One thing to plan.

    Attributes:
        model: which model.
        method: how it is trained or used.
        precision: of weights and arithmetic.
        gradient_checkpointing: activations of each layer are computed anew in the backward pass.
    """

    model: PlannedModel
    method: PlannedMethod
    precision: Precision = "fp32"
    gradient_checkpointing: bool = False

    @property
    def optimizer(self) -> OptimizerName:
        """Of what is trained."""
        return self.method.optimizer

    def make_step(
        self, batch: int, configurations: Configurations, layers: int | None, fake: FakeTensorMode
    ) -> Step:
        """See `make_step`."""
        return make_step(self, batch, configurations, layers, fake)


@dataclass(frozen=True)
class Step:
    """A step, ready to run.

    Attributes:
        network: the whole network, head and adapters included.
        layers: the equal layers that a transformer consists of; None: it does not.
        trained: what is updated; empty in inference.
        batch: tensors that are there before the step starts.
        run: does the step, its gradients included.
    """

    network: nn.Module
    layers: nn.ModuleList | None
    trained: list[nn.Parameter]
    batch: dict[str, torch.Tensor]
    run: Callable[[], None]


def make_step(
    job: Job,
    batch: int,
    configurations: Configurations,
    layers: int | None,
    fake: FakeTensorMode,
) -> Step:
    """Build a model and everything that a step of it needs, out of fake tensors.

    Args:
        job: what is planned.
        batch: examples.
        configurations: of the transformers models that name one.
        layers: as in `headstart.learning.planning.models.build_model`.
        fake: what makes the tensors fake; not yet entered.

    Raises:
        HeadstartError: the method does not go with the model.
    """
    model, method = job.model, job.method
    whole = build_whole(job, configurations, layers)
    body = whole.body
    with fake, _default_dtype(DTYPES[job.precision]):
        from_meta(whole)
        inputs = _batch(model, method, batch)
    if job.gradient_checkpointing:
        _checkpoint_layers(body)
    trained = [p for p in whole.parameters() if p.requires_grad]

    def run() -> None:
        with autocast(job.precision):
            loss = _LOSSES[method.kind](whole, inputs, method)
        if loss is not None:
            loss.backward()

    return Step(whole, repeated_layers(body), trained, inputs, run)


def autocast(precision: Precision) -> torch.autocast:
    """What a mixed precision computes in; as it is for the others.

    Args:
        precision: of the step.
    """
    half = HALF_OF.get(precision)
    dtype = None if half is None else DTYPES[half]
    return torch.autocast("cpu", dtype=dtype, enabled=half is not None)


def build_whole(job: Job, configurations: Configurations, layers: int | None = None) -> WholeModel:
    """The model with its head and adapters, on the meta device.

    Args:
        job: what is planned.
        configurations: of the transformers models that name one.
        layers: as in `headstart.learning.planning.models.build_model`.

    Raises:
        HeadstartError: the method does not go with the model.
    """
    refuse_mismatch(job)
    with _default_dtype(DTYPES[job.precision]), torch.device("meta"):
        body = build_model(job.model, configurations, layers)
        whole = WholeModel(body, job.model, job.method)
        if job.model.transformers is None:
            whole.to(memory_format=torch.channels_last)
        _adapt(whole, job.method)
    return whole.train(job.method.kind not in ("frozen", "inference"))


def refuse_mismatch(job: Job) -> None:
    """Raise where a method does not go with a model.

    Raises:
        HeadstartError: says what it goes with.
    """
    kind, text = job.method.kind, job.model.transformers is not None
    if kind in _IMAGES_ONLY and text:
        raise HeadstartError(
            f"planning: {kind} is planned for models of images, not for transformers."
        )
    if job.model.network == CONV4 and kind not in ("maml", "full"):
        raise HeadstartError(f"planning: {CONV4} is planned for maml and full, not for {kind}.")
    if kind == "masked_language" and job.model.causal:
        raise HeadstartError("planning: masked_language is planned for encoders (causal: false).")
    if kind in _TRANSFORMERS_ONLY and not text:
        raise HeadstartError(f"planning: {kind} needs a model of the library transformers.")


class WholeModel(nn.Module):
    """The bare model and what the method puts on top.

    Args:
        body: the bare model.
        model: what it was built by.
        method: what is done with it.
    """

    def __init__(self, body: Any, model: PlannedModel, method: PlannedMethod):
        super().__init__()
        kind = method.kind
        self.body = body
        self.adapted = kind in _ADAPTERS
        self.text, self.causal = model.transformers is not None, model.causal
        self.words = self.text and self.causal and kind != "frozen"  # what it predicts
        self.head: nn.Module = nn.Identity()
        replaced = kind in ("contrastive", "frozen")
        width = _cut_classifier(body) if model.torchvision and replaced else _width(body)
        width = 0 if self.words or model.network == CONV4 else width  # these have their own
        if kind == "masked_language":
            self.head = MaskedLanguageModel(body)
        elif kind == "contrastive":
            self.head = nn.Sequential(
                nn.Linear(width, method.hidden),
                nn.ReLU(),
                nn.Linear(method.hidden, method.projection),
            )
        elif kind != "inference" and width and (replaced or not model.torchvision):
            self.head = nn.Linear(width, model.classes)
        if kind in ("frozen", "inference"):
            body.requires_grad_(False)

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the head reads: of texts the mean of the states."""
        if not self.text:
            if isinstance(self.body, TaskNetwork):  # one task, one copy of the weights
                outputs, _ = self.body(self.body.stacked(1), inputs[None], Normalization())
                return outputs[0]
            features: torch.Tensor = self.body(inputs)
            return features
        body = self.body.get_decoder() if self.causal else self.body
        states: torch.Tensor = body(input_ids=inputs).last_hidden_state
        return states.mean(dim=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits: of classes (n, K), or of words (n, L, V)."""
        if self.words:
            logits: torch.Tensor = self.body(input_ids=inputs, use_cache=False).logits
            return logits
        outputs: torch.Tensor = self.head(self.features(inputs))
        return outputs


def _adapt(whole: WholeModel, method: PlannedMethod) -> None:
    if method.kind == "bitfit":
        train_biases(whole.body)
    if not whole.adapted:
        return
    skip = whole.body.get_output_embeddings()
    parameters = LoraParameters(rank=method.rank, alpha=method.rank, targets=method.targets)
    whole.body = add_lora(whole.body, parameters, seed=0)
    if method.kind == "qlora":
        quantize(whole.body, skip)


def from_meta(network: nn.Module) -> None:
    """Put every tensor of a network on the default device, without contents."""
    made: dict[int, torch.Tensor] = {}  # what is used in two places stays one
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty_strided(old.shape, old.stride(), dtype=old.dtype)
                    trained = old.requires_grad
                    kept = isinstance(old, nn.Parameter)
                    made[id(old)] = nn.Parameter(new, requires_grad=trained) if kept else new
                tensors[name] = made[id(old)]  # type: ignore[assignment]


def _batch(model: PlannedModel, method: PlannedMethod, batch: int) -> dict[str, torch.Tensor]:
    if model.transformers is not None:
        ids = torch.zeros(batch, model.tokens, dtype=torch.int64)
        return {"inputs": ids, "labels": torch.zeros(batch, dtype=torch.int64)}
    side, count = model.image_size, batch * method.tasks

    def images() -> torch.Tensor:
        shape = (count, model.channels, side, side)
        return torch.zeros(shape).to(memory_format=torch.channels_last)

    drawn = {"inputs": images(), "labels": torch.zeros(count, dtype=torch.int64)}
    if method.kind in _IMAGES_ONLY:  # the other view; the query set
        drawn["others"] = images()
    return drawn


def _full(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> torch.Tensor:
    logits = whole(batch["inputs"])
    if logits.ndim == 3:
        ids = batch["inputs"]
        return next_word_loss(logits, ids, torch.ones_like(ids))
    return F.cross_entropy(logits, batch["labels"])


def _frozen(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> torch.Tensor:
    with torch.no_grad():
        features = whole.features(batch["inputs"])
    return F.cross_entropy(whole.head(features), batch["labels"])


def _masked(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> torch.Tensor:
    """As many tokens are asked for as are chosen; which ones does not matter."""
    ids = batch["inputs"]
    chosen = max(1, round(method.masked_share * ids.shape[1])) * len(ids)
    places = torch.zeros(chosen, dtype=torch.int64)
    logits = whole.head(ids, torch.ones_like(ids), (places, places))
    return masked_loss(logits, places)


def _contrastive(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> torch.Tensor:
    one, other = whole(torch.cat([batch["inputs"], batch["others"]])).chunk(2)
    return info_nce(one, other, _TEMPERATURE)


@torch.no_grad()
def _inference(whole: Any, batch: dict[str, torch.Tensor], method: PlannedMethod) -> None:
    if not whole.causal:
        whole.features(batch["inputs"])
        return
    read = whole.body(input_ids=batch["inputs"], use_cache=True, logits_to_keep=1)
    whole.body(input_ids=batch["inputs"][:, :1], past_key_values=read.past_key_values)


_LOSSES: dict[str, Callable[[Any, dict[str, torch.Tensor], PlannedMethod], Any]] = {
    "full": _full,
    "bitfit": _full,
    "lora": _full,
    "qlora": _full,
    "frozen": _frozen,
    "contrastive": _contrastive,
    "masked_language": _masked,
    "maml": maml_loss,
    "inference": _inference,
}


def _width(body: Any) -> int:
    """D of what the bare model gives: timm and transformers have a name for it each."""
    config = getattr(body, "config", None)
    return int(getattr(body, "num_features", 0) if config is None else config.hidden_size)


def _cut_classifier(body: nn.Module) -> int:
    """Take a torchvision classifier's last layer away, and give the width that it had read.

    Raises:
        HeadstartError: its last layer is no linear one.
    """
    name, last = [(n, m) for n, m in body.named_modules() if not list(m.children())][-1]
    if not isinstance(last, nn.Linear):
        raise HeadstartError(
            f"planning: {type(body).__name__} does not end in a linear layer that could be "
            "replaced; plan full or inference with it."
        )
    parent, _, attribute = name.rpartition(".")
    setattr(body.get_submodule(parent), attribute, nn.Identity())
    return last.in_features


def _checkpoint_layers(body: Any) -> None:
    if hasattr(body, "gradient_checkpointing_enable"):
        body.gradient_checkpointing_enable({"use_reentrant": False})
    elif hasattr(body, "set_grad_checkpointing"):
        body.set_grad_checkpointing(True)
    else:
        raise HeadstartError(
            f"planning: {type(body).__name__} cannot compute its activations anew; set "
            "gradient_checkpointing: false in its plan."
        )


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
