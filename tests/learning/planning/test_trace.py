"""Traced memory against what PyTorch's allocator hands out in a real step, and the formulas."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from transformers import OPTConfig, OPTForCausalLM

from headstart.errors import HeadstartError
from headstart.learning.fine_tune import Classifier
from headstart.learning.networks import NETWORKS
from headstart.learning.planning.formulas import transformer_activations
from headstart.learning.planning.models import transformers_config
from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
from headstart.learning.planning.steps import Job
from headstart.learning.planning.trace import HELD, trace
from headstart.learning.text.next_word import next_word_loss

from .planned import IMAGES, OPT, TEXTS, WORDS, lora

FULL = PlannedMethod(kind="full")


def real_peak(model, batch, loss) -> float:
    """Of the second step of AdamW, weights and batch included."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    there = [*model.parameters(), *model.buffers(), *batch]
    stored = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in there}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for _ in range(2):
            loss(model, *batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    return sum(stored.values()) + np.cumsum([size for _, size in sorted(events)]).max()


def peak(job: Job, batch: int) -> float:
    return float(trace(job, batch, {}).held.sum(axis=1).max())


def test_a_network_of_images_takes_what_was_traced():
    model = Classifier(NETWORKS["small_resnet"](), 256, 2).to(memory_format=torch.channels_last)
    images = torch.randn(64, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    batch = (images, torch.zeros(64, dtype=torch.int64))
    real = real_peak(model, batch, lambda m, x, y: F.cross_entropy(m(x), y))
    # A convolution's kernel holds a copy of its weight's gradient, which no tracker sees: the
    # smaller the network's activations, the more it counts.
    assert peak(Job(IMAGES, FULL), 64) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("tokens", [8, 64])
def test_a_transformer_takes_what_was_traced(tokens):
    model = OPTForCausalLM(OPTConfig(**OPT)).train()
    ids = torch.zeros(8, tokens, dtype=torch.int64)

    def loss(network, given):
        logits = network(input_ids=given, use_cache=False).logits
        return next_word_loss(logits, given, torch.ones_like(given))

    planned = WORDS.model_copy(update={"tokens": tokens})
    assert peak(Job(planned, FULL), 8) == pytest.approx(real_peak(model, (ids,), loss), rel=0.03)


def test_weights_gradients_and_optimizer_are_as_the_formulas_say():
    line = trace(Job(WORDS, FULL), 4, {})
    parameters = 4 * sum(p.numel() for p in OPTForCausalLM(OPTConfig(**OPT)).parameters())
    counters = 4 * len(list(OPTForCausalLM(OPTConfig(**OPT)).parameters()))
    held = dict(zip(HELD, line.held[-1], strict=True))
    assert held["weights"] == parameters
    assert held["gradients"] == parameters
    assert held["optimizer"] == 2 * parameters + counters
    assert line.operations[-1] == "optimizer step"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_activations_are_near_their_formula(attention):
    model = PlannedModel(
        transformers={**OPT, "hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 256},
        **{"causal": True, "tokens": 64, "attention": attention},
    )
    held = trace(Job(model, FULL), 8, {}).held
    config = transformers_config(model, {})
    formula = transformer_activations(
        config, batch=8, tokens=64, itemsize=4, causal=True, recomputed=False
    )
    assert held[:, HELD.index("activations")].max() == pytest.approx(formula, rel=0.15)


def test_recomputed_layers_hold_less_and_compute_more():
    deep = WORDS.model_copy(update={"tokens": 64})
    kept, anew = (trace(Job(deep, FULL, "fp32", flag), 8, {}) for flag in (False, True))
    activations = [line.held[:, HELD.index("activations")].max() for line in (kept, anew)]
    assert activations[1] < 0.6 * activations[0]
    assert 1.1 * kept.flops.sum() < anew.flops.sum() < 1.4 * kept.flops.sum()


def test_methods_in_the_order_of_their_memory():
    wide = {**OPT, "hidden_size": 256, "word_embed_proj_dim": 256, "ffn_dim": 1024}
    model = PlannedModel(transformers=wide, causal=True, tokens=16)
    ways = [
        PlannedMethod(kind="inference"),
        lora(kind="qlora"),
        lora(),
        *(PlannedMethod(kind="full", optimizer=o) for o in ("sgd", "momentum", "adam8bit", "adam")),
    ]
    peaks = [peak(Job(model, way, "bf16"), 2) for way in ways[1:]]
    assert peaks == sorted(peaks)
    assert peak(Job(model, ways[0], "bf16"), 2) < peaks[1]


def test_half_precision_halves_and_mixed_keeps_the_weights_wide():
    held = {
        precision: trace(Job(IMAGES, FULL, precision), 16, {}).held
        for precision in ("fp32", "bf16", "bf16_mixed")
    }
    first = {precision: line[0, 0] for precision, line in held.items()}
    assert first["bf16"] == pytest.approx(first["fp32"] / 2, rel=0.01)
    assert first["bf16_mixed"] == first["fp32"]
    activations = {precision: line[:, 3].max() for precision, line in held.items()}
    assert activations["bf16"] < 0.55 * activations["fp32"]
    assert activations["bf16_mixed"] < activations["fp32"]


def test_every_inner_step_of_maml_and_every_task_is_held():
    conv4 = PlannedModel(network="conv4", image_size=16, channels=1, filters=8, classes=5)
    for model in (conv4, IMAGES):
        one, two, five, tasks = (
            peak(Job(model, PlannedMethod(kind="maml", inner_steps=n, tasks=t)), 5)
            for n, t in ((1, 1), (2, 1), (5, 1), (1, 3))
        )
        assert five - two == pytest.approx(3 * (two - one), rel=0.35)
        assert two > one
        assert tasks > 1.5 * one


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (TEXTS, "maml", "maml is planned for models of images"),
        (TEXTS, "contrastive", "contrastive is planned for models of images"),
        (IMAGES, "lora", "lora needs a model of the library transformers"),
        (PlannedModel(network="conv4"), "frozen", "conv4 is planned for maml and full"),
        (PlannedModel(torchvision="squeezenet1_1"), "frozen", "does not end in a linear layer"),
    ],
)
def test_a_method_that_does_not_go_with_the_model_is_refused(model, kind, message):
    with pytest.raises(HeadstartError, match=message):
        trace(Job(model, PlannedMethod(kind=kind)), 2, {})


def test_a_network_that_cannot_recompute_is_refused():
    model = PlannedModel(torchvision="resnet18", image_size=32)
    with pytest.raises(HeadstartError, match="gradient_checkpointing: false"):
        trace(Job(model, FULL, "fp32", gradient_checkpointing=True), 2, {})
    frozen = trace(Job(model, PlannedMethod(kind="frozen")), 2, {})
    assert frozen.held[:, HELD.index("gradients")].max() == 4 * (2 * 512 + 2)


def test_the_same_step_is_traced_the_same_each_time():
    one, two = (trace(Job(TEXTS, FULL), 4, {}) for _ in range(2))
    assert one.operations == two.operations
    assert np.array_equal(one.held, two.held)
    assert gc.isenabled()


def test_tracing_leaves_the_default_type_as_it_was():
    trace(Job(IMAGES, FULL, "bf16"), 2, {})
    assert torch.get_default_dtype() == torch.float32
