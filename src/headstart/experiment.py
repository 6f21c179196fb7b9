"""What the experiment consists of: the parameters that decide which nodes there are."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters

Representation = Literal["pixels", "pca", "random", "imagenet"]
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
    """

    targets: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    representations: Annotated[list[Representation], BeforeValidator(_as_list)]
    methods: Annotated[list[Method], BeforeValidator(_as_list), Field(min_length=1)]
    fine_tuned: Annotated[list[Literal["imagenet"]], BeforeValidator(_as_list)]
    sources: frozenset[str] = frozenset()

    @property
    def encoders(self) -> list[str]:
        """The representations, and the encoders that only the trained methods need."""
        return list(dict.fromkeys([*self.representations, *self.trained_from]))

    @property
    def trained_from(self) -> list[str]:
        """The encoders that the trained methods start from."""
        starts: list[str] = []
        if "fine_tune" in self.methods:
            starts += self.fine_tuned
        if "from_scratch" in self.methods:
            starts.append("random")
        return starts

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
        own = {k: parameters[k] for k in cls.model_fields if k in parameters}
        targets = _as_list(own.get("targets", []))
        for target in targets if isinstance(targets, list) else []:
            if not isinstance(target, str) or not target.isidentifier():
                raise HeadstartError(
                    f"targets: '{target}' cannot be a target's name; use letters, digits and "
                    "underscores, for instance my_parts."
                )
        own["sources"] = frozenset(t for t in targets if f"{t}.source" in catalog)
        try:
            return cls.model_validate(own)
        except ValidationError as error:
            raise HeadstartError(_explain(error)) from error


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


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        given = problem["input"]
        message = f"{where}: {problem['msg']} (given: {given!r})"
        if problem["type"] == "literal_error":
            allowed = (*get_args(Representation), *get_args(Method))
            close = get_close_matches(str(given), allowed, n=1)
            message += f"; did you mean '{close[0]}'?" if close else ""
        lines.append(message)
    return "The experiment's parameters do not fit. " + " ".join(lines)
