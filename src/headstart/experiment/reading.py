"""The experiment read out of the configuration, and what is wrong with it told before it starts."""

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from headstart.errors import HeadstartError
from headstart.experiment.experiment import Experiment
from headstart.experiment.tracks import (
    AskedModel,
    Method,
    Pretext,
    Representation,
    TextMethod,
    TextRepresentation,
    as_list,
)
from headstart.learning.configuration import Parameters
from headstart.learning.meta_learning.parameters import FewShotMethod
from headstart.learning.multi_task.parameters import TaskMethod
from headstart.learning.pretext.parameters import PretrainingParameters
from headstart.learning.text.pretraining_parameters import TextPretrainingTasks
from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters
from headstart.pipelines.meta_learning.parameters import MetaLearningParameters

Block = TypeVar("Block", bound=Parameters)

# Parameter blocks of stages; which of them are read depends on the targets.
STAGES = frozenset(
    {
        *("pretraining", "representation", "probing", "fine_tuning"),
        *("text_representation", "text_pretraining", "text_fine_tuning", "in_context"),
        *("table_ingestion", "multi_task", "few_shot_ingestion", "meta_learning"),
    }
)

_TEXT_DATASETS = ("TextTableDataset", "TextFolderDataset", "HuggingFaceTextDataset")
_TABLE_DATASETS = ("TaskTableDataset",)


def read_experiment(parameters: dict[str, Any], catalog: dict[str, Any]) -> Experiment:
    """Read the experiment out of Kedro's merged parameters and catalog configuration.

    Raises:
        HeadstartError: names the parameter that is wrong, and the values that would do.
    """
    own = {k: parameters[k] for k in Experiment.parameters() if k in parameters}
    targets = as_list(own.get("targets", []))
    for target in targets if isinstance(targets, list) else []:
        if not isinstance(target, str) or not target.isidentifier():
            raise HeadstartError(
                f"targets: '{target}' cannot be a target's name; use letters, digits and "
                "underscores, for instance my_parts."
            )
    own["texts"] = frozenset(t for t in targets if _is_of(_TEXT_DATASETS, f"{t}.target", catalog))
    own["task_tables"] = frozenset(
        t for t in targets if _is_of(_TABLE_DATASETS, f"{t}.target", catalog)
    )
    own["sources"] = frozenset(t for t in targets if f"{t}.source" in catalog)
    pretraining = _validated(PretrainingParameters, "pretraining", parameters)
    # Their nodes read a part each; a name that none of them reads is refused here.
    learning = _validated(TextPretrainingTasks, "text_pretraining", parameters)
    own["post_training_source"] = learning.post_training.source
    own["ranks"] = _validated(TextFineTuningParameters, "text_fine_tuning", parameters).ranks
    meta_learning = _validated(MetaLearningParameters, "meta_learning", parameters)
    try:
        experiment = Experiment.model_validate({**own, "pretext_sources": pretraining.sources})
    except ValidationError as error:
        raise HeadstartError(_explain(error)) from error
    _refuse_wrong_sources(experiment, catalog)
    _refuse_wrong_text_source(experiment, catalog)
    _refuse_wrong_families(experiment, catalog)
    shots = {f: meta_learning.shots_of(f) for f in experiment.few_shot.families}
    return experiment.model_copy(update={"family_shots": shots})


def _validated(block: type[Block], name: str, parameters: dict[str, Any]) -> Block:
    """One parameter block.

    Raises:
        HeadstartError: names the parameter that is wrong.
    """
    try:
        return block.model_validate(parameters.get(name))
    except ValidationError as error:
        raise HeadstartError(_explain(error, f"{name}.")) from error


def _is_of(types: Collection[str], name: str, catalog: dict[str, Any]) -> bool:
    """Whether a catalog entry is of one of these types."""
    entry = catalog.get(name)
    while isinstance(entry, dict):
        if str(entry.get("type", "")).split(".")[-1] in types:
            return True
        entry = entry.get("dataset")  # of a package
    return False


def language_models(catalog: dict[str, Any]) -> list[str]:
    """Names of the catalog's language models, of entries that stand for one model each.

    Args:
        catalog: its configuration.
    """
    return [
        name
        for name in catalog
        if "{" not in name and _is_of(["LanguageModelDataset"], name, catalog)
    ]


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
                *(*get_args(TaskMethod), *get_args(FewShotMethod)),
            )
            close = get_close_matches(str(given), allowed, n=1)
            message += f"; did you mean '{close[0]}'?" if close else ""
        lines.append(message)
    return "The experiment's parameters do not fit. " + " ".join(lines)
