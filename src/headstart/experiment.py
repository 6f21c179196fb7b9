"""What the experiment consists of: the parameters that decide which nodes there are."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters
from headstart.learning.multi_task.parameters import TaskMethod
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
AskedModel = Literal["smollm2", "next_word", "post_training"]

# Parameter blocks of stages; which of them are read depends on the targets.
STAGES = frozenset(
    {
        *("pretraining", "representation", "probing", "fine_tuning"),
        *("text_representation", "text_pretraining", "text_fine_tuning", "in_context"),
        *("table_ingestion", "multi_task", "few_shot_ingestion"),
    }
)

_TEXT_DATASETS = ("TextTableDataset", "TextFolderDataset", "HuggingFaceTextDataset")
_TABLE_DATASETS = ("TaskTableDataset",)


def _as_list(value: Any) -> Any:
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

    representations: Annotated[list[TextRepresentation], BeforeValidator(_as_list)]
    methods: Annotated[list[TextMethod], BeforeValidator(_as_list), Field(min_length=1)]
    asked: Annotated[list[AskedModel], BeforeValidator(_as_list), Field(min_length=1)]

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

    methods: Annotated[list[TaskMethod], BeforeValidator(_as_list), Field(min_length=1)]


class FewShotExperiment(Parameters):
    """What is compared where learning itself is learned.

    Attributes:
        families: names of families of tasks; the catalog entry `<name>.target` says where the
            images of each are. One may be a target, too.
    """

    families: Annotated[list[str], BeforeValidator(_as_list)]


class Experiment(Parameters):
    """The parts of `conf/base/parameters.yml` that shape the pipelines.

    Attributes:
        targets: names of the targets; the catalog entry `<name>.target` says where each is, and by
            its type whether it is images, texts or a table of several tasks.
        text: what is compared on targets that are texts.
        tables: what is compared on tables of several tasks.
        few_shot: on which families of tasks learning is learned; the next three are for images.
        representations: what the probes start from.
        methods: how a representation or an encoder is used on the target.
        fine_tuned: the pretrained encoders that `fine_tune` starts from.
        sources: targets with a catalog entry `<name>.source` of their own.
        pretext_sources: `pretraining.sources`: task -> the source that it learns from.
        texts: the targets that are texts.
        post_training_source: `text_pretraining.post_training.source`.
        ranks: `text_fine_tuning.ranks`.
        task_tables: the targets that are tables of several tasks.
    """

    targets: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    text: TextExperiment
    tables: TableExperiment
    few_shot: FewShotExperiment
    representations: Annotated[list[Representation], BeforeValidator(_as_list)]
    methods: Annotated[list[Method], BeforeValidator(_as_list), Field(min_length=1)]
    fine_tuned: Annotated[list[Pretrained], BeforeValidator(_as_list)]
    sources: frozenset[str] = frozenset()
    pretext_sources: Mapping[str, str | None] = Field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    post_training_source: str = ""
    ranks: tuple[int, ...] = ()
    task_tables: frozenset[str] = frozenset()

    @classmethod
    def parameters(cls) -> set[str]:
        """Names of the parameters in `conf/base/parameters.yml`."""
        found = {"sources", "pretext_sources", "texts", "post_training_source", "task_tables"}
        found |= {"ranks"}
        return set(cls.model_fields) - found

    @property
    def image_targets(self) -> list[str]:
        """The targets that are images."""
        return [target for target in self.targets if target not in self.texts | self.task_tables]

    @property
    def text_targets(self) -> list[str]:
        """The targets that are texts."""
        return [target for target in self.targets if target in self.texts]

    @property
    def table_targets(self) -> list[str]:
        """The targets that are tables of several tasks."""
        return [target for target in self.targets if target in self.task_tables]

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

    @property
    def text_sources(self) -> list[str]:
        """The labeled texts that post-training learns from, where a model is asked after it."""
        wanted = self.text_targets and "post_training" in self.text.causal_models
        return [self.post_training_source] if wanted else []

    @property
    def text_pretrainings(self) -> list[tuple[str, str]]:
        """Source and task of each language model that learns before it is used on a target."""
        read_on = [(target, task) for target in self.text_targets for task in self.text.read_on]
        return [*read_on, *((source, "post_training") for source in self.text_sources)]

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

    @property
    def lora_targets(self) -> list[str]:
        """The targets that `lora` adapts a model to."""
        return self.text_targets if "lora" in self.text.methods else []

    def language_models(self, target: str) -> dict[str, str]:
        """Representation -> catalog name of the language model that makes it.

        Args:
            target: name of a target that is texts.
        """
        read_on = {task: f"pretraining.{target}.{task}.model" for task in self.text.pretext}
        # Of the untrained one only the architecture counts, which is that of the pretrained one.
        return {"minilm": "pretrained.minilm", "minilm_untrained": "pretrained.minilm", **read_on}

    def learned_together(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that the methods on several tasks write.

        Args:
            table: scores, history or cosines.
        """
        return [
            f"multi_task.{target}.{method}.{table}"
            for target in self.table_targets
            for method in self.tables.methods
        ]

    def asked(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that `in_context` writes.

        Args:
            table: scores or predictions.
        """
        return [
            f"in_context.{target}.{model}.{table}"
            for target in self.text_targets
            for model in self.text.causal_models
        ]

    def causal_model(self, target: str, name: str) -> str:
        """Catalog name of a model that `in_context` asks.

        Args:
            target: name of a target that is texts.
            name: of the model.
        """
        if name == "smollm2":
            return f"pretrained.{name}"
        source = self.post_training_source if name == "post_training" else target
        return f"pretraining.{source}.{name}.model"

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
        own["texts"] = frozenset(
            t for t in targets if _is_of(_TEXT_DATASETS, f"{t}.target", catalog)
        )
        own["task_tables"] = frozenset(
            t for t in targets if _is_of(_TABLE_DATASETS, f"{t}.target", catalog)
        )
        own["sources"] = frozenset(t for t in targets if f"{t}.source" in catalog)
        pretraining = _validated(PretrainingParameters, "pretraining", parameters)
        # Their nodes read a part each; a name that none of them reads is refused here.
        learning = _validated(TextPretrainingTasks, "text_pretraining", parameters)
        own["post_training_source"] = learning.post_training.source
        own["ranks"] = _validated(TextFineTuningParameters, "text_fine_tuning", parameters).ranks
        try:
            experiment = cls.model_validate({**own, "pretext_sources": pretraining.sources})
        except ValidationError as error:
            raise HeadstartError(_explain(error)) from error
        _refuse_wrong_sources(experiment, catalog)
        _refuse_wrong_text_source(experiment, catalog)
        _refuse_wrong_families(experiment, catalog)
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


def _is_of(types: Collection[str], name: str, catalog: dict[str, Any]) -> bool:
    """Whether a catalog entry is of one of these types."""
    entry = catalog.get(name)
    while isinstance(entry, dict):
        if str(entry.get("type", "")).split(".")[-1] in types:
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


def _refuse_wrong_text_source(experiment: Experiment, catalog: dict[str, Any]) -> None:
    where = "text_pretraining.post_training.source"
    for source in experiment.text_sources:
        if source in experiment.targets:
            raise HeadstartError(
                f"{where}: '{source}' is a target of this run; name a task that is not."
            )
        if f"{source}.source" not in catalog:
            raise HeadstartError(
                f"{where}: the catalog has no entry '{source}.source'; add one to "
                "conf/local/catalog.yml, or take post_training out of text.asked."
            )
        if not _is_of(_TEXT_DATASETS, f"{source}.source", catalog):
            raise HeadstartError(
                f"{where}: the catalog entry '{source}.source' is of no type that reads texts "
                f"({', '.join(_TEXT_DATASETS)})."
            )


def _refuse_wrong_families(experiment: Experiment, catalog: dict[str, Any]) -> None:
    for family in experiment.few_shot.families:
        if not family.isidentifier():
            raise HeadstartError(
                f"few_shot.families: '{family}' cannot be a family's name; use letters, digits and "
                "underscores, for instance my_letters."
            )
        if _is_of([*_TEXT_DATASETS, *_TABLE_DATASETS], f"{family}.target", catalog):
            raise HeadstartError(
                f"few_shot.families: the catalog entry '{family}.target' is of no type that reads "
                "images; few-shot tasks are made of images."
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
                *(*get_args(TextRepresentation), *get_args(TextMethod), *get_args(AskedModel)),
                *get_args(TaskMethod),
            )
            close = get_close_matches(str(given), allowed, n=1)
            message += f"; did you mean '{close[0]}'?" if close else ""
        lines.append(message)
    return "The experiment's parameters do not fit. " + " ".join(lines)
