"""Typed parameters of the training loop and of the machine that it runs on.

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Parameters(BaseModel):
    """Base of every parameter block: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ComputeParameters(Parameters):
    """Where and how everything is computed (`conf/base/parameters_compute.yml`).

    Attributes:
        device: "auto" is CUDA, else MPS, else the CPU.
        precision: of training: fp32, or bf16 or fp16 mixed with it (fp16 on CUDA alone).
        compile: `torch.compile` the network that is trained.
        gradient_accumulation: micro-batches that a batch is cut into, one after the other, to
            start with; doubled whenever memory runs out.
        checkpoint_seconds: between two checkpoints of a training.
        parallel_fits: small trainings run side by side; "auto": one a CPU core, one on a GPU.
        decoding_threads: threads that decode images; "auto": one a CPU core.
        batch_size: images at once where nothing is learned.
        progress: show progress bars.
        processes: on this machine, that share out each training of a network; "auto": one a CUDA
            device.
        sharding: "full": weights, gradients and the optimizer's moments are divided among the
            processes.
        nodes: machines that share out each training.
        rendezvous: where they meet, host:port; the host is the machine of `kedro run`.
        rendezvous_seconds: that they wait for each other.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    gradient_accumulation: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=20.0, ge=0.0)
    parallel_fits: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    decoding_threads: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: int = Field(default=64, ge=1)
    progress: bool = True
    processes: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    sharding: Literal["none", "full"] = "none"
    nodes: int = Field(default=1, ge=1)
    rendezvous: Annotated[str, Field(pattern=r"^[^:\s]+:\d+$")] | None = None
    rendezvous_seconds: int = Field(default=900, ge=1)

    @model_validator(mode="after")
    def _go_together(self) -> ComputeParameters:
        if self.nodes > 1 and self.rendezvous is None:
            raise ValueError(
                "compute.nodes: several machines need compute.rendezvous, host:port of this one."
            )
        if self.sharding == "full" and self.processes == 1 and self.nodes == 1:
            raise ValueError(
                "compute.sharding: full divides a network among several processes; set "
                "compute.processes to 2 or more, or auto."
            )
        return self

    def deciding(self) -> dict[str, Any]:
        """What decides a training's result; how often it is saved and shown does not."""
        return self.model_dump(
            include={"device", "precision", "compile", "batch_size", "gradient_accumulation"}
        )


class TrainingParameters(Parameters):
    """How long and how a network is trained (`headstart.learning.training`).

    Attributes:
        steps: of the optimizer, at most.
        epochs: passes over the training examples, at most; the lesser of the two counts.
        batch_size: examples a step, all processes and micro-batches together.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of AdamW, as a share of the learning rate.
        schedule: of the learning rate after the warm-up.
        warmup_share: share of the steps in which the learning rate rises to its value.
        clip_norm: gradients are scaled down to this norm, where theirs is larger; None: never.
        evaluations: on the validation rows, evenly spaced over the steps.
        patience: stop after so many evaluations without a better one; None: never.
    """

    steps: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float | None = Field(default=1.0, gt=0)
    evaluations: int = Field(default=10, ge=1)
    patience: int | None = Field(default=None, ge=1)


class AugmentationParameters(Parameters):
    """How training images are varied, each on its own.

    Attributes:
        horizontal_flip: mirror left and right, half of the images.
        vertical_flip: mirror up and down, half of the images.
        shift: move by up to this share of the side in both directions, mirrored at the edges.
    """

    horizontal_flip: bool = True
    vertical_flip: bool = False
    shift: float = Field(default=0.0, ge=0, lt=0.5)


class AdaptationParameters(Parameters):
    """How a network is trained on a target (`headstart.learning.fine_tune`).

    The defaults train everything at once from random weights on, as `from_scratch` does.

    Attributes:
        image_size: pixels a side that the network is fed; None: as the encoder says.
        training: the loop's parameters.
        augmentation: of the training images.
        head_initialization: of the new classification layer: "zeros"; "random", uniform with
            bound 1 / sqrt(D); or "linear_probe", the probe on the frozen network (LP-FT; Kumar et
            al. 2022).
        head_strengths: penalties that such a probe chooses among on the validation rows.
        head_scale: the learning rate of the classification layer is multiplied by it.
        learning_rate_decay: from each group of layers to the one below, the learning rate is
            multiplied by it (discriminative fine-tuning; Howard and Ruder 2018 take 1 / 2.6).
        unfreeze_every: train the classification layer alone for so many epochs, then one more
            group of layers for so many, and so on down (gradual unfreezing; Howard and Ruder
            2018); None: all at once.
        batch_norm: "frozen": running statistics are used and stay as they are; "train": the
            batch's statistics are used, and the running ones are computed anew over training
            images for each evaluation ("precise batch norm"; Wu and Johnson 2021).
        batch_norm_rows: training images that they are computed over, at most.
    """

    image_size: int | None = Field(default=None, ge=1)
    training: TrainingParameters
    augmentation: AugmentationParameters = AugmentationParameters()
    head_initialization: Literal["zeros", "random", "linear_probe"] = "random"
    head_strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0,), min_length=1)
    head_scale: float = Field(default=1.0, gt=0)
    learning_rate_decay: float = Field(default=1.0, gt=0, le=1)
    unfreeze_every: int | None = Field(default=None, ge=1)
    batch_norm: Literal["frozen", "train"] = "train"
    batch_norm_rows: int = Field(default=256, ge=2)


def usable_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
