"""Typed parameters of meta-learning, a block a method.

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from typing import Literal

from pydantic import Field

from headstart.learning.configuration import Parameters, TrainingParameters


class EpisodeParameters(Parameters):
    """What an episode is made of.

    Attributes:
        ways: N, classes.
        shots: k, examples of a class to learn from.
        queries: q, examples of a class to be tested on.
    """

    ways: int = Field(ge=2)
    shots: int = Field(ge=1)
    queries: int = Field(ge=1)


class SinusoidParameters(Parameters):
    """Sinusoids y = A sin(x - phi).

    Attributes:
        shots: K, points to learn from.
        queries: points to be tested on.
        amplitude: least and largest A.
        phase: least and largest phi, radians.
        x: least and largest x.
    """

    shots: int = Field(ge=1)
    queries: int = Field(ge=1)
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, 3.141592653589793)
    x: tuple[float, float] = (-5.0, 5.0)


class SinusoidNetworkParameters(Parameters):
    """The dense network of the sinusoids.

    Attributes:
        hidden: units of the hidden layers.
        deviation: standard deviation of the initial weights.
    """

    hidden: tuple[int, ...] = (40, 40)
    deviation: float = Field(default=0.01, gt=0)


class Conv4Parameters(Parameters):
    """Conv-4.

    Attributes:
        filters: of each of its four convolutions.
        downsampling: how each halves the side: "pool" or "stride".
        momentum: how far running statistics of batch norm move towards those of a batch.
    """

    filters: int = Field(ge=1)
    downsampling: Literal["pool", "stride"] = "pool"
    momentum: float = Field(default=0.1, gt=0, le=1)


class NearestCentroidParameters(Parameters):
    """`nearest_centroid`.

    Attributes:
        unit_length: features are divided by their length first.
        tasks_at_once: see `MethodParameters`.
    """

    unit_length: bool = True
    tasks_at_once: int = Field(default=4, ge=1)


class FromScratchParameters(Parameters):
    """`from_scratch`.

    Attributes:
        step_size: of gradient descent.
        test_steps: how many steps a new task is given.
        tasks_at_once: see `MethodParameters`.
    """

    step_size: float = Field(gt=0)
    test_steps: int = Field(ge=0)
    tasks_at_once: int = Field(default=4, ge=1)


class MethodParameters(Parameters):
    """What all methods that are meta-trained have.

    Attributes:
        tasks_at_once: tasks that are computed together, with equal results; many at once suit
            small networks, one after the other suits wide convolutions.
        training: of the outer loop; batch_size is the tasks a step (the meta-batch). No task comes
            twice, so epochs is 1.
    """

    tasks_at_once: int = Field(default=4, ge=1)
    training: TrainingParameters


class MamlParameters(MethodParameters):
    """`maml` (Finn et al. 2017) and `anil` (Raghu et al. 2020).

    Attributes:
        steps: n, inner steps in meta-training.
        step_size: alpha, of the inner steps; where it is learned, what it starts from.
        order: "second", or "first" for the gradient without second derivatives.
        learn_step_sizes: learn alpha, one for each weight (Meta-SGD; Li et al. 2017).
        test_steps: how many steps a new task is given.
    """

    steps: int = Field(ge=0)
    step_size: float = Field(gt=0)
    order: Literal["first", "second"] = "second"
    learn_step_sizes: bool = False
    test_steps: int = Field(ge=0)


class FirstOrderMamlParameters(MamlParameters):
    """`fomaml`: MAML with `order: first`."""

    order: Literal["first"] = "first"


class ReptileParameters(MethodParameters):
    """`reptile` (Nichol et al. 2018).

    Attributes:
        steps: n, inner steps in meta-training.
        step_size: alpha, of the inner steps.
        examples: of the task that an inner step takes.
        test_steps: how many steps a new task is given, on all of its support set.
    """

    steps: int = Field(ge=1)
    step_size: float = Field(gt=0)
    examples: int = Field(ge=1)
    test_steps: int = Field(ge=0)


class PrototypicalParameters(MethodParameters):
    """`prototypical` (Snell et al. 2017)."""


class JointTrainingParameters(MethodParameters):
    """`joint_training`.

    Attributes:
        step_size: of gradient descent on a new task.
        test_steps: how many steps it is given.
    """

    step_size: float = Field(gt=0)
    test_steps: int = Field(ge=0)


class PooledPretrainingParameters(Parameters):
    """`pooled_pretraining` (Baseline++; Chen et al. 2019).

    Attributes:
        scale: s, that cosines are multiplied by.
        step_size: of gradient descent on a new task.
        test_steps: how many steps it is given.
        training: of the pretraining; batch_size counts images.
    """

    scale: float = Field(gt=0)
    step_size: float = Field(gt=0)
    test_steps: int = Field(ge=0)
    training: TrainingParameters


class SinusoidMethods(Parameters):
    """The methods that are defined for tasks whose targets are numbers, a block each."""

    maml: MamlParameters
    fomaml: FirstOrderMamlParameters
    reptile: ReptileParameters
    joint_training: JointTrainingParameters
    from_scratch: FromScratchParameters


class ClassMethods(Parameters):
    """The methods that are defined for tasks of classes, a block each."""

    maml: MamlParameters
    fomaml: FirstOrderMamlParameters
    anil: MamlParameters
    reptile: ReptileParameters
    prototypical: PrototypicalParameters
    pooled_pretraining: PooledPretrainingParameters
    nearest_centroid: NearestCentroidParameters
    from_scratch: FromScratchParameters


FewShotMethod = Literal[
    "maml",
    "fomaml",
    "anil",
    "reptile",
    "prototypical",
    "joint_training",
    "pooled_pretraining",
    "nearest_centroid",
    "from_scratch",
]


class MetaTestParameters(Parameters):
    """How new tasks are learned and scored.

    Attributes:
        episodes: of the meta-test.
        validation_episodes: that decide which weights of a meta-training are kept, and which method
            is recommended.
        seed: of the meta-test episodes; those of the validation have the next.
        reading: what batch norm normalizes the queries by; "query" is scored beside it.
        episodes_at_once: that are scored together, with equal results.
        diverged: a loss above it counts as diverged, as one that is not finite does; None: there
            is no such loss.
    """

    episodes: int = Field(ge=2)
    validation_episodes: int = Field(ge=2)
    seed: int = Field(ge=0)
    reading: Literal["support", "running", "query"] = "support"
    episodes_at_once: int = Field(default=16, ge=1)
    diverged: float | None = Field(default=None, gt=0)
