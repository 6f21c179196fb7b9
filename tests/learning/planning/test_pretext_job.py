"""Pretext tasks as plans: what is predicted is what a real step takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kedro.config import OmegaConfigLoader
from torch.profiler import ProfilerActivity, profile

from headstart.errors import HeadstartError
from headstart.learning.encoders import random_network, to_network
from headstart.learning.planning.extrapolation import trace_step
from headstart.learning.planning.pretext_job import PretextJob
from headstart.learning.pretext.parameters import PretrainingParameters
from headstart.learning.pretext.registry import TASKS
from headstart.learning.pretext.task import Source
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[3] / "conf"
BATCH, SIDE = 16, 48


@pytest.fixture(scope="module")
def parameters() -> PretrainingParameters:
    loader = OmegaConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)
    return PretrainingParameters.model_validate(loader["parameters"]["pretraining"])


def job(task: str, parameters: PretrainingParameters) -> PretextJob:
    return PretextJob(task, getattr(parameters, task), parameters.network, SIDE, classes=4)


def measured(task: str, parameters: PretrainingParameters) -> float:
    """Bytes that the second real step holds at its peak, by PyTorch's profiler."""
    block, network = getattr(parameters, task), parameters.network
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.array([str(i % 4) for i in range(BATCH)])
    initial = random_network(network.architecture, network.image_size, 0)
    config = {**initial.config, "image_size": block.image_size or network.image_size}
    made = TASKS[task](block, config, Source(images, np.arange(BATCH), labels))
    model = made.build(to_network(initial), 256).to(memory_format=torch.channels_last)
    classes = torch.arange(BATCH) % 4 if task == "supervised" else None
    batch = made.batch(torch.from_numpy(images), classes, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        made.loss(model, batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    state = [t for s in optimizer.state.values() for t in s.values()]
    held = [*model.parameters(), *model.buffers(), *batch.values(), *state]
    there = sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}.values()
    )
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    return there + float(np.cumsum([size for _, size in sorted(events)]).max())


@pytest.mark.parametrize("task", list(TASKS))
def test_a_real_step_holds_what_was_predicted(task, parameters):
    predicted = sum(trace_step(job(task, parameters), BATCH).peak().values())
    assert predicted == pytest.approx(measured(task, parameters), rel=0.15)


def test_an_unknown_network_is_refused(parameters):
    network = parameters.network.model_copy(update={"architecture": "resnet17"})
    wrong = PretextJob("rotation", parameters.rotation, network, SIDE, classes=4)
    with pytest.raises(HeadstartError, match="no network 'resnet17'"):
        trace_step(wrong, BATCH)
