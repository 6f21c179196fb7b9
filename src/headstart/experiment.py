"""What the experiment consists of: the parameters that decide which nodes there are."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters
from headstart.learning.pretext.parameters import PretrainingParameters
from headstart.learning.text.pretraining_parameters import TextPretrainingTasks
from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters

Block = TypeVar("Block", bound=Parameters)

Pretext = Literal["rotation", "jigsaw", "colorization", "inpainting", "contrastive", "supervised"]
Pretrained = Literal["imagenet", Pretext]
Untrained = Literal["random", "imagenet_untrained"]
Representation = Literal["pixels", "pca", Untrained, Pretrained]
Method = Literal["linear_probe", "nearest_neighbors", "fine_tune", "from_scratch"]
TextPretext = Literal["masked_language", "next_word"]
TextRepresentation = Literal["tfidf_svd", "glove", "minilm_untrained", "minilm", TextPretext]
TextMethod = Literal[Method, "lora", "bitfit", "in_context"]
CAUSAL_MODEL = "smollm2"  # what in_context asks

# Parameter blocks of stages; which of them are read depends on the targets.
STAGES = frozenset(
    {
        *("pretraining", "representation", "fine_tuning"),
        *("text_representation", "text_pretraining", "text_fine_tuning", "in_context"),
    }
)

_TEXT_DATASETS = ("TextTableDataset", "TextFolderDataset")


def _as_list(value: Any) -> Any:
    """One name alone counts as a list of one: `--params targets=my_parts`."""
    return [value] if isinstance(value, str) else value


class TextExperiment(Parameters):
    """What is compared on targets that are texts.

    Attributes:
        representations: what the probes start from.
        methods: how a representation or the pretrained encoder is used on the target.
    """

    representations: Annotated[list[TextRepresentation], BeforeValidator(_as_list)]
    methods: Annotated[list[TextMethod], BeforeValidator(_as_list), Field(min_length=1)]

    @property
    def pretext(self) -> list[str]:
        """The pretext tasks among the representations."""
        return [name for name in self.representations if name in get_args(TextPretext)]

    @property
    def extracted(self) -> list[str]:
        """The representations, and the one whose probe is a fine-tuned head's beginning."""
        adapted = {"fine_tune", "lora", "bitfit"} & set(self.methods)
        return list(dict.fromkeys([*self.representations, *(["minilm"] if adapted else [])]))


class Experiment(Parameters):
    """The parts of `conf/base/parameters.yml` that shape the pipelines.

    Attributes:
        targets: names of the targets; the catalog entry `<name>.target` says where each is, and by
            its type whether it is images or texts.
        text: what is compared on targets that are texts; the next three are for images.
        representations: what the probes start from.
        methods: how a representation or an encoder is used on the target.
        fine_tuned: the pretrained encoders that `fine_tune` starts from.
        sources: targets with a catalog entry `<name>.source` of their own.
        pretext_sources: `pretraining.sources`: task -> the source that it learns from.
        texts: the targets that are texts.
    """

    targets: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    text: TextExperiment
    representations: Annotated[list[Representation], BeforeValidator(_as_list)]
    methods: Annotated[list[Method], BeforeValidator(_as_list), Field(min_length=1)]
    fine_tuned: Annotated[list[Pretrained], BeforeValidator(_as_list)]
    sources: frozenset[str] = frozenset()
    pretext_sources: Mapping[str, str | None] = Field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    @classmethod
    def parameters(cls) -> set[str]:
        """Names of the parameters in `conf/base/parameters.yml`."""
        return set(cls.model_fields) - {"sources", "pretext_sources", "texts"}

    @property
    def image_targets(self) -> list[str]:
        """The targets that are images."""
        return [target for target in self.targets if target not in self.texts]

    @property
    def text_targets(self) -> list[str]:
        """The targets that are texts."""
        return [target for target in self.targets if target in self.texts]

    @property
    def encoders(self) -> list[str]:
        """The representations, and the encoders that only the trained methods need."""
        return list(dict.fromkeys([*self.representations, *self.trained_from]))

    @property
    def trained_from(self) -> list[str]:
        """The encoders that the trained methods start from."""
        starts = list(self.fine_tuned) if "fine_tune" in self.methods else []
        return [*starts, *self.untrained]

    @property
    def untrained(self) -> list[str]:
        """The networks that are trained from scratch: one of each architecture."""
        if "from_scratch" not in self.methods:
            return []
        imagenet = {"imagenet", "imagenet_untrained"} & {*self.representations, *self.fine_tuned}
        return ["random", *(["imagenet_untrained"] if imagenet else [])]

    @property
    def pretrainings(self) -> list[tuple[str, str]]:
        """Source and task of each encoder that has to be pretrained, each once."""
        tasks = [name for name in self.encoders if name in get_args(Pretext)]
        pairs = [(self.source_of(t, task), task) for t in self.image_targets for task in tasks]
        return list(dict.fromkeys(pairs))

    @property
    def named_sources(self) -> list[str]:
        """The sources that are no target's own."""
        return list(dict.fromkeys(s for s, _ in self.pretrainings if s not in self.targets))

    def source_of(self, target: str, task: str) -> str:
        """The source that a pretext task learns from: one with a name, or the target's own.

        Args:
            target: name of the target.
            task: name of the task.
        """
        return self.pretext_sources.get(task) or target

    def images_of(self, source: str) -> str:
        """Catalog name of a source's images; the target's where it has no source of its own.

        Args:
            source: name of a target or of a named source.
        """
        own = source in self.sources or source not in self.targets
        return f"ingestion.{source}.{'source' if own else 'target'}_images"

    def encoder_of(self, target: str, name: str) -> str:
        """Catalog name of an encoder.

        Args:
            target: name of the target.
            name: of the representation.
        """
        if name in get_args(Pretext):
            return f"pretraining.{self.source_of(target, name)}.{name}.encoder"
        return f"representation.{target}.{name}.encoder"

    @property
    def probes(self) -> list[str]:
        """The methods that use a frozen representation."""
        return probes_of(self.methods)

    def probed(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that the probes write.

        Args:
            table: scores or predictions.
        """
        return [
            f"probing.{target}.{representation}.{probe}_{table}"
            for target in self.image_targets
            for representation in self.representations
            for probe in self.probes
        ] + [
            f"probing.{target}.{representation}.{probe}_{table}"
            for target in self.text_targets
            for representation in self.text.representations
            for probe in probes_of(self.text.methods)
        ]

    def trained(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that the trained methods write.

        Args:
            table: scores, predictions or history.
        """
        return [
            f"fine_tuning.{target}.{start}.{table}"
            for target in self.image_targets
            for start in self.trained_from
        ] + [
            f"fine_tuning.{target}.{start}.{table}"
            for target in self.text_targets
            for start, method in (("minilm", "fine_tune"), ("minilm_untrained", "from_scratch"))
            if method in self.text.methods
        ]

    def adapted(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that `lora` and `bitfit` write.

        Args:
            table: scores, predictions or history.
        """
        return [
            f"lora.{target}.minilm.{method}_{table}"
            for target in self.text_targets
            for method in ("lora", "bitfit")
            if method in self.text.methods
        ]

    def language_models(self, target: str) -> dict[str, str]:
        """Representation -> catalog name of the language model that makes it.

        Args:
            target: name of a target that is texts.
        """
        read_on = {task: f"pretraining.{target}.{task}.model" for task in self.text.pretext}
        # Of the untrained one only the architecture counts, which is that of the pretrained one.
        return {"minilm": "pretrained.minilm", "minilm_untrained": "pretrained.minilm", **read_on}

    def asked(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that `in_context` writes.

        Args:
            table: scores or predictions.
        """
        targets = self.text_targets if "in_context" in self.text.methods else []
        return [f"in_context.{target}.{CAUSAL_MODEL}.{table}" for target in targets]

    @classmethod
    def from_configuration(cls, parameters: dict[str, Any], catalog: dict[str, Any]) -> Any:
        """Read the experiment out of Kedro's merged parameters and catalog configuration.

        Raises:
            HeadstartError: names the parameter that is wrong, and the values that would do.
        """
        own = {k: parameters[k] for k in cls.parameters() if k in parameters}
        targets = _as_list(own.get("targets", []))
        for target in targets if isinstance(targets, list) else []:
            if not isinstance(target, str) or not target.isidentifier():
                raise HeadstartError(
                    f"targets: '{target}' cannot be a target's name; use letters, digits and "
                    "underscores, for instance my_parts."
                )
        own["texts"] = frozenset(t for t in targets if _is_text(t, catalog))
        own["sources"] = frozenset(t for t in targets if f"{t}.source" in catalog)
        pretraining = _validated(PretrainingParameters, "pretraining", parameters)
        # Their nodes read a part each; a name that none of them reads is refused here.
        _validated(TextPretrainingTasks, "text_pretraining", parameters)
        _validated(TextFineTuningParameters, "text_fine_tuning", parameters)
        try:
            experiment = cls.model_validate({**own, "pretext_sources": pretraining.sources})
        except ValidationError as error:
            raise HeadstartError(_explain(error)) from error
        _refuse_wrong_sources(experiment, catalog)
        return experiment


def _validated(block: type[Block], name: str, parameters: dict[str, Any]) -> Block:
    """One parameter block.

    Raises:
        HeadstartError: names the parameter that is wrong.
    """
    try:
        return block.model_validate(parameters.get(name))
    except ValidationError as error:
        raise HeadstartError(_explain(error, f"{name}.")) from error


def probes_of(methods: Collection[str]) -> list[str]:
    """Those methods that use a frozen representation.

    Args:
        methods: names of methods.
    """
    return [m for m in ("linear_probe", "nearest_neighbors") if m in methods]


def _is_text(target: str, catalog: dict[str, Any]) -> bool:
    """Whether a target's catalog entry is of a type that reads texts."""
    entry = catalog.get(f"{target}.target")
    while isinstance(entry, dict):
        if str(entry.get("type", "")).split(".")[-1] in _TEXT_DATASETS:
            return True
        entry = entry.get("dataset")  # of a package
    return False


def _refuse_wrong_sources(experiment: Experiment, catalog: dict[str, Any]) -> None:
    for task, source in experiment.pretext_sources.items():
        where = f"pretraining.sources.{task}"
        if task not in get_args(Pretext):
            raise HeadstartError(
                f"{where}: there is no pretext task '{task}'. Known: "
                f"{', '.join(get_args(Pretext))}."
            )
        if source in experiment.image_targets:
            raise HeadstartError(
                f"{where}: '{source}' is a target of this run; null means the target's own source."
            )
        if source is not None and f"{source}.source" not in catalog:
            raise HeadstartError(
                f"{where}: the catalog has no entry '{source}.source'; add one to "
                "conf/local/catalog.yml, or say null for the target's own source."
            )


def refuse_unknown(parameters: dict[str, Any], known: set[str]) -> None:
    """Raise for a top-level parameter that no pipeline reads.

    Args:
        parameters: the merged parameters of the run.
        known: the names that the pipelines read.

    Raises:
        HeadstartError: names the parameter and the closest known one.
    """
    for name in parameters:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."
            raise HeadstartError(f"Unknown parameter '{name}'. {hint}")


def base_configuration(project: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and catalog of `conf/base` and `conf/local`, for commands that make no session.

    Args:
        project: the project's folder.
    """
    from kedro.config import OmegaConfigLoader
    from kedro.framework.project import settings

    loader = OmegaConfigLoader(
        conf_source=str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS
    )
    return loader["parameters"], loader["catalog"]


def _explain(error: ValidationError, block: str = "") -> str:
    lines = []
    for problem in error.errors():
        where = block + ".".join(str(part) for part in problem["loc"])
        given = problem["input"]
        message = f"{where}: {problem['msg']} (given: {given!r})"
        if problem["type"] == "literal_error":
            allowed = (
                *(*get_args(Representation), *get_args(Method)),
                *(*get_args(TextRepresentation), *get_args(TextMethod)),
            )
            close = get_close_matches(str(given), allowed, n=1)
            message += f"; did you mean '{close[0]}'?" if close else ""
        lines.append(message)
    return "The experiment's parameters do not fit. " + " ".join(lines)
