"""What the experiment consists of: from its parameters to the names of what the stages make."""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from headstart.experiment.tracks import (
    SINUSOIDS,
    FewShotExperiment,
    Method,
    Pretext,
    Pretrained,
    Representation,
    TableExperiment,
    TextExperiment,
    as_list,
    probes_of,
)
from headstart.learning.configuration import Parameters


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
        family_shots: family of few-shot tasks -> `meta_learning`'s numbers of shots.
    """

    targets: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
    text: TextExperiment
    tables: TableExperiment
    few_shot: FewShotExperiment
    representations: Annotated[list[Representation], BeforeValidator(as_list)]
    methods: Annotated[list[Method], BeforeValidator(as_list), Field(min_length=1)]
    fine_tuned: Annotated[list[Pretrained], BeforeValidator(as_list)]
    sources: frozenset[str] = frozenset()
    pretext_sources: Mapping[str, str | None] = Field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    post_training_source: str = ""
    ranks: tuple[int, ...] = ()
    task_tables: frozenset[str] = frozenset()
    family_shots: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)

    @classmethod
    def parameters(cls) -> set[str]:
        """Names of the parameters in `conf/base/parameters.yml`."""
        return {name for name, field in cls.model_fields.items() if field.is_required()}

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
            table: scores, predictions, history or cosines.
        """
        return [
            f"multi_task.{target}.{method}.{table}"
            for target in self.table_targets
            for method in self.tables.methods
        ]

    def meta_learned(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that meta-learning writes.

        Args:
            table: scores, curves, trainings or history.
        """
        return [
            f"meta_learning.{family}.{fit}.{table}"
            for family in self.few_shot.families
            for fit in self.few_shot.fits_of(family)
        ]

    @property
    def drawn_sinusoids(self) -> list[str]:
        """Catalog names of the tables of sinusoids that are drawn."""
        if SINUSOIDS not in self.few_shot.families:
            return []
        names = ["curves_and_points", *self.few_shot.fits_of(SINUSOIDS)]
        return [f"meta_learning.{SINUSOIDS}.{name}.examples" for name in names]

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
