"""Parameters of a plan: which models are trained how, and on what; free of torch."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from headstart.learning.configuration import Parameters

Precision = Literal["fp32", "bf16", "fp16", "bf16_mixed", "fp16_mixed"]
Kind = Literal[
    "full",
    "contrastive",
    "masked_language",
    "lora",
    "qlora",
    "bitfit",
    "frozen",
    "inference",
    "maml",
]
OptimizerName = Literal["sgd", "momentum", "adam", "adam8bit"]
Count = Annotated[int, Field(ge=1)]


class PlannedModel(Parameters):
    """One model, by exactly one of the first three, and what it is fed.

    Attributes:
        network: one of the project's own encoders (`headstart.learning.networks.NETWORKS`), or
            "conv4", the network of its meta-learning.
        torchvision: name of a torchvision classifier, for instance "resnet50".
        transformers: the fields of a `config.json` of the library transformers, "model_type" among
            them; or a name, by which such a configuration is handed in beside.
        causal: a transformers model predicts the next word; else a classification layer stands on
            the mean of its states.
        attention: of a transformers model: "sdpa" (fused) or "eager" (all scores are stored).
        image_size: pixels a side of the images.
        channels: of them; all but conv4 take 3.
        filters: of each convolution of conv4.
        downsampling: how each of them halves the side, "pool" or "stride".
        tokens: of each text.
        classes: of the classification layer.
    """

    network: str | None = None
    torchvision: str | None = None
    transformers: str | dict[str, Any] | None = None
    causal: bool = False
    attention: Literal["sdpa", "eager"] = "sdpa"
    image_size: int = Field(default=224, ge=1)
    channels: Literal[1, 3] = 3
    filters: Count = 64
    downsampling: Literal["pool", "stride"] = "pool"
    tokens: int = Field(default=128, ge=2)
    classes: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _one_architecture(self) -> "PlannedModel":
        given = [self.network, self.torchvision, self.transformers]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give exactly one of network, torchvision and transformers")
        if self.channels == 1 and self.network != "conv4":
            raise ValueError("channels: all networks but conv4 take 3")
        if isinstance(self.transformers, dict) and "model_type" not in self.transformers:
            raise ValueError("transformers: the configuration has no field model_type")
        return self


class PlannedMethod(Parameters):
    """One way of training a model, or of using it.

    Attributes:
        kind: "full", all weights; "contrastive", all weights by two views of each image;
            "masked_language", all weights by tokens that are hidden; "lora", adapters; "qlora",
            adapters on 4-bit weights; "bitfit", the biases; "frozen", a classification layer on
            what the frozen model gives; "inference", with a key-value cache where the model has
            one; "maml", a second-order outer step after `inner_steps` inner ones on each task.
        optimizer: of what is trained.
        rank: of the adapters.
        targets: linear layers that get adapters, by the last parts of their names.
        masked_share: of the tokens, that masked_language hides.
        inner_steps: of maml.
        tasks: of a step of maml.
        hidden: units of the hidden layer of the contrastive projection head.
        projection: its outputs.
    """

    kind: Kind
    optimizer: OptimizerName = "adam"
    rank: Count = 8
    targets: list[str] | Literal["all-linear"] = Field(default="all-linear", min_length=1)
    masked_share: float = Field(default=0.15, gt=0, le=1)
    inner_steps: Count = 1
    tasks: Count = 1
    hidden: Count = 256
    projection: Count = 64


class Plan(Parameters):
    """Every model with every method, precision and batch.

    Attributes:
        models: names.
        methods: names.
        precisions: "fp32"; "bf16" or "fp16", weights and all that follows from them; or mixed:
            weights, gradients and optimizer in fp32, computed by autocast.
        batches: examples a step and GPU; with maml, of the support and of the query
            set of each task.
        gradient_checkpointing: activations of each layer are computed anew in the backward pass.
    """

    models: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    precisions: list[Precision] = Field(min_length=1)
    batches: list[Count] = Field(min_length=1)
    gradient_checkpointing: bool = False


class GpuParameters(Parameters):
    """How GPUs are used.

    Attributes:
        names: of the catalogue; None: all.
        sharding: over several GPUs: "fsdp", weights, gradients and optimizer are cut; "ddp", each
            holds all.
        most: GPUs that are tried, at most.
        usable_share: of a GPU's memory; the rest is for its context and for fragmentation.
        efficiency: share of the peak throughput and bandwidth that a kernel reaches.
        launch_seconds: that starting one takes.
        most_examples: the largest batch that is looked for.
    """

    names: list[str] | None = None
    sharding: Literal["ddp", "fsdp"] = "fsdp"
    most: Count = 4096
    usable_share: float = Field(default=0.9, gt=0, le=1)
    efficiency: float = Field(default=0.5, gt=0, le=1)
    launch_seconds: float = Field(default=5e-6, ge=0)
    most_examples: Count = 65536


class CheckParameters(Parameters):
    """The check that runs before each training (`headstart.learning.planning.check`).

    Attributes:
        enabled: whether there is one; without it the report has no predictions.
        margin: share of the device's memory that is kept free: for the libraries themselves, what
            kernels need for a moment, and other processes.
        memory_gb: of the device, 10^9 bytes; None: what it has, or the process may use.
        classes: that a classification layer is planned with, since the data that tells their
            number is not loaded yet.
        prompt_tokens: of instruction, template and answer around a text, in post-training.
    """

    enabled: bool = True
    margin: float = Field(default=0.1, ge=0, lt=1)
    memory_gb: float | None = Field(default=None, gt=0)
    classes: Count = 100
    prompt_tokens: Count = 64


class PlanningParameters(Parameters):
    """`planning` in `conf/base/parameters_planning.yml`.

    Attributes:
        models: name -> the model.
        methods: name -> the method.
        plans: what is combined with what.
        gpus: how GPUs are used.
        check: what runs before each training of the other pipelines.
    """

    models: dict[str, PlannedModel]
    methods: dict[str, PlannedMethod]
    plans: list[Plan] = Field(min_length=1)
    gpus: GpuParameters
    check: CheckParameters = CheckParameters()

    @model_validator(mode="after")
    def _names_are_known(self) -> "PlanningParameters":
        for number, plan in enumerate(self.plans):
            for field, known in (("models", self.models), ("methods", self.methods)):
                for name in getattr(plan, field):
                    if name not in known:
                        raise ValueError(
                            f"plans.{number}.{field}: there is no '{name}' in {field}; known: "
                            f"{', '.join(known)}"
                        )
        return self
