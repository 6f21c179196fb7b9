"""What the experiment consists of: the parameters that decide which nodes there are."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters
from headstart.learning.pretext.parameters import PretrainingParameters

Pretext = Literal["rotation", "jigsaw", "colorization", "inpainting", "contrastive", "supervised"]
Pretrained = Literal["imagenet", Pretext]
Untrained = Literal["random", "imagenet_untrained"]
Representation = Literal["pixels", "pca", Untrained, Pretrained]
Method = Literal["linear_probe", "nearest_neighbors", "fine_tune", "from_scratch"]


def _as_list(value: Any) -> Any:
    """One name alone counts as a list of one: `--params targets=my_parts`."""
    return [value] if isinstance(value, str) else value


class Experiment(Parameters):
    """The parts of `conf/base/parameters.yml` that shape the pipelines.

    Attributes:
        targets: names of the targets; the catalog entry `<name>.target` says where each is.
        representations: what the probes start from.
        methods: how a representation or an encoder is used on the target.
        fine_tuned: the pretrained encoders that `fine_tune` starts from.
        sources: targets with a catalog entry `<name>.source` of their own.
        pretext_sources: `pretraining.sources`: task -> the source that it learns from.
    """

    targets: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    representations: Annotated[list[Representation], BeforeValidator(_as_list)]
    methods: Annotated[list[Method], BeforeValidator(_as_list), Field(min_length=1)]
    fine_tuned: Annotated[list[Pretrained], BeforeValidator(_as_list)]
    sources: frozenset[str] = frozenset()
    pretext_sources: Mapping[str, str | None] = Field(default_factory=dict)

    @classmethod
    def parameters(cls) -> set[str]:
        """Names of the parameters in `conf/base/parameters.yml`."""
        return set(cls.model_fields) - {"sources", "pretext_sources"}

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
        pairs = [(self.source_of(t, task), task) for t in self.targets for task in tasks]
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
        return [m for m in ("linear_probe", "nearest_neighbors") if m in self.methods]

    def probed(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that the probes write.

        Args:
            table: scores or predictions.
        """
        return [
            f"probing.{target}.{representation}.{probe}_{table}"
            for target in self.targets
            for representation in self.representations
            for probe in self.probes
        ]

    def trained(self, table: str) -> list[str]:
        """Catalog names of the tables of one kind that the trained methods write.

        Args:
            table: scores, predictions or history.
        """
        return [
            f"fine_tuning.{target}.{start}.{table}"
            for target in self.targets
            for start in self.trained_from
        ]

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
        own["sources"] = frozenset(t for t in targets if f"{t}.source" in catalog)
        try:
            pretraining = PretrainingParameters.model_validate(parameters.get("pretraining"))
        except ValidationError as error:
            raise HeadstartError(_explain(error, "pretraining.")) from error
        try:
            experiment = cls.model_validate({**own, "pretext_sources": pretraining.sources})
        except ValidationError as error:
            raise HeadstartError(_explain(error)) from error
        _refuse_wrong_sources(experiment, catalog)
        return experiment


def _refuse_wrong_sources(experiment: Experiment, catalog: dict[str, Any]) -> None:
    for task, source in experiment.pretext_sources.items():
        where = f"pretraining.sources.{task}"
        if task not in get_args(Pretext):
            raise HeadstartError(
                f"{where}: there is no pretext task '{task}'. Known: "
                f"{', '.join(get_args(Pretext))}."
            )
        if source in experiment.targets:
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
            allowed = (*get_args(Representation), *get_args(Method))
            close = get_close_matches(str(given), allowed, n=1)
            message += f"; did you mean '{close[0]}'?" if close else ""
        lines.append(message)
    return "The experiment's parameters do not fit. " + " ".join(lines)
