"""What each track of the experiment may compare: the names, and the parameters that choose."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from headstart.learning.configuration import Parameters
from headstart.learning.meta_learning.parameters import (
    ClassMethods,
    FewShotMethod,
    SinusoidMethods,
)
from headstart.learning.multi_task.parameters import TaskMethod

Pretext = Literal["rotation", "jigsaw", "colorization", "inpainting", "contrastive", "supervised"]
Pretrained = Literal["imagenet", Pretext]
Untrained = Literal["random", "imagenet_untrained"]
Representation = Literal["pixels", "pca", Untrained, Pretrained]
Method = Literal["linear_probe", "nearest_neighbors", "fine_tune", "from_scratch"]
TextPretext = Literal["masked_language", "next_word"]
TextRepresentation = Literal["tfidf_svd", "glove", "minilm_untrained", "minilm", TextPretext]
TextMethod = Literal[Method, "lora", "bitfit", "in_context"]
FrozenEncoder = Literal["pixels", "imagenet"]
AskedModel = Literal["smollm2", "next_word", "post_training"]

SINUSOIDS = "sinusoids"  # the family of few-shot tasks that the program makes itself


def as_list(value: Any) -> Any:
    """One name alone counts as a list of one: `--params targets=my_parts`."""
    return [value] if isinstance(value, str) else value


class TextExperiment(Parameters):
    """What is compared on targets that are texts.

    Attributes:
        representations: what the probes start from.
        methods: how a representation or the pretrained encoder is used on the target.
        asked: causal models that `in_context` asks: the pretrained one, or what it is after
            `next_word` or after post-training.
    """

    representations: Annotated[list[TextRepresentation], BeforeValidator(as_list)]
    methods: Annotated[list[TextMethod], BeforeValidator(as_list), Field(min_length=1)]
    asked: Annotated[list[AskedModel], BeforeValidator(as_list), Field(min_length=1)]

    @property
    def causal_models(self) -> list[str]:
        """The models that `in_context` asks; none where it is not among the methods."""
        return list(dict.fromkeys(self.asked)) if "in_context" in self.methods else []

    @property
    def pretext(self) -> list[str]:
        """The pretext tasks among the representations."""
        return [name for name in self.representations if name in get_args(TextPretext)]

    @property
    def read_on(self) -> list[str]:
        """The pretext tasks that make a representation, or a model that is asked."""
        asked = [name for name in self.causal_models if name in get_args(TextPretext)]
        return list(dict.fromkeys([*self.pretext, *asked]))

    @property
    def hands_over(self) -> bool:
        """Whether any method makes a language model with a head, which is ready to predict."""
        probed = set(self.representations) - {"tfidf_svd", "glove"} and probes_of(self.methods)
        return bool(probed or {"fine_tune", "lora", "bitfit", "from_scratch"} & set(self.methods))

    @property
    def extracted(self) -> list[str]:
        """The representations, and the one whose probe is a fine-tuned head's beginning."""
        adapted = {"fine_tune", "lora", "bitfit"} & set(self.methods)
        return list(dict.fromkeys([*self.representations, *(["minilm"] if adapted else [])]))


class TableExperiment(Parameters):
    """What is compared on targets that are tables of several tasks.

    Attributes:
        methods: how the tasks are learned.
    """

    methods: Annotated[list[TaskMethod], BeforeValidator(as_list), Field(min_length=1)]


class FewShotExperiment(Parameters):
    """What is compared where learning itself is learned.

    Attributes:
        families: names of families of tasks: `sinusoids`, which the program makes itself, and
            others, of which the catalog entry `<name>.target` says where the images are. One of
            these may be a target, too.
        methods: how tasks are learned; on each family those that are defined for it.
        representations: the frozen encoders that `nearest_centroid` starts from.
    """

    families: Annotated[list[str], BeforeValidator(as_list)]
    methods: Annotated[list[FewShotMethod], BeforeValidator(as_list), Field(min_length=1)]
    representations: Annotated[list[FrozenEncoder], BeforeValidator(as_list)]

    @property
    def image_families(self) -> list[str]:
        """The families that are made of images."""
        return [family for family in self.families if family != SINUSOIDS]

    def methods_of(self, family: str) -> list[str]:
        """The methods that are defined for a family.

        Args:
            family: its name.
        """
        known = (SinusoidMethods if family == SINUSOIDS else ClassMethods).model_fields
        return [method for method in dict.fromkeys(self.methods) if method in known]

    def fits_of(self, family: str) -> list[str]:
        """Names of the fits on a family: the methods, `nearest_centroid` once an encoder.

        Args:
            family: its name.
        """
        starts = {"nearest_centroid": [f"_{name}" for name in self.representations]}
        return [
            f"{method}{start}"
            for method in self.methods_of(family)
            for start in starts.get(method, [""])
        ]


def probes_of(methods: Collection[str]) -> list[str]:
    """Those methods that use a frozen representation.

    Args:
        methods: names of methods.
    """
    return [m for m in ("linear_probe", "nearest_neighbors") if m in methods]


def network_of(encoder: str) -> str:
    """Which network an encoder of images is: that of the pretext tasks, or of `imagenet`.

    Args:
        encoder: its name, for instance `rotation` or `imagenet_untrained`.
    """
    return "imagenet" if encoder.startswith("imagenet") else "pretext"
