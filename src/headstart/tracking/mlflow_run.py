"""What a finished experiment leaves in MLflow."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from mlflow.environment_variables import MLFLOW_LOG_UV_FILES
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from packaging.requirements import Requirement

import headstart
from headstart.datasets import FittedModelDataset, FittedTextDataset
from headstart.datasets.fitted_model import read_config
from headstart.fingerprint import path_fingerprint, value_fingerprint
from headstart.pipelines.evaluation.environment import describe_environment
from headstart.tracking.figures import flat, headline_metrics

logger = logging.getLogger(__name__)

_FINGERPRINT = "headstart.fingerprint"
_FILES = ("report", "leaderboard", "recommendations")
_MOST_PARAMETERS = 100  # that MLflow takes at once
_ANSWER = Schema([ColSpec("string", "label"), ColSpec("double", "probability")])


def log_results(
    tracking: Any, pipeline: Pipeline, catalog: CatalogProtocol, env: str | None
) -> None:
    """Log parameters, headline metrics, report and models; once for the same results.

    Args:
        tracking: the block `tracking` of kedro-mlflow's configuration, set up.
        pipeline: what was run.
        catalog: where its results stand.
        env: the environment that was run.
    """
    MLFLOW_LOG_UV_FILES.set(False)  # uv.lock has the addresses of registries in it
    made_with = describe_environment(catalog.load("parameters"))
    parameters = made_with["configuration"]
    files = {name: _path(catalog, name) for name in ("results", *_FILES)}
    fingerprint = value_fingerprint(
        [parameters, {name: path_fingerprint(file) for name, file in files.items()}]
    )
    experiment = tracking.experiment._experiment.experiment_id
    of_the_same = f"tags.`{_FINGERPRINT}` = '{fingerprint}' and attributes.status = 'FINISHED'"
    before = mlflow.search_runs(
        [experiment], filter_string=of_the_same, max_results=1, output_format="list"
    )
    if before:
        logger.info("These results are MLflow run %s already.", before[0].info.run_id)
        return
    with mlflow.start_run(
        run_id=tracking.run.id,
        run_name=tracking.run.name,
        experiment_id=experiment,
        tags={_FINGERPRINT: fingerprint, "env": str(env), **flat(made_with["versions"])},
    ) as run:
        _log_parameters(flat(parameters))
        recommendations = catalog.load("recommendations")
        mlflow.log_metrics(headline_metrics(recommendations))
        for target, answer in recommendations.items():
            mlflow.set_tag(
                f"{target}.recommended", f"{answer['representation']}.{answer['method']}"
            )
        for name in _FILES:
            mlflow.log_artifact(str(files[name]))
        for name in sorted(pipeline.all_outputs()):
            stage, _, target = name.partition(".")
            if stage == "model_cards":
                mlflow.log_artifact(str(_path(catalog, name)))
            elif stage == "table_models":  # what goes in differs from table to table: no signature
                mlflow.log_artifacts(str(_path(catalog, name)), f"models/{target}")
            elif stage in ("models", "text_models"):
                _log_model(target, catalog.get(name), parameters["compute"])
        logger.info("The results are MLflow run %s.", run.info.run_id)


def _log_parameters(parameters: Mapping[str, str]) -> None:
    names = list(parameters)
    for first in range(0, len(names), _MOST_PARAMETERS):
        some = names[first : first + _MOST_PARAMETERS]
        mlflow.log_params({name: parameters[name] for name in some})


def _log_model(target: str, dataset: Any, compute: Mapping[str, Any]) -> None:
    """A fitted model that `mlflow.pyfunc` loads wherever its requirements are installed."""
    if isinstance(dataset, FittedModelDataset):
        image = read_config(dataset._filepath)["image"]
        size, channels = image["size"], 1 if image["mode"] == "L" else 3
        inputs = Schema([TensorSpec(np.dtype("uint8"), (-1, size, size, channels))])
    else:
        assert isinstance(dataset, FittedTextDataset)
        inputs = Schema([ColSpec("string", "text")])
    mlflow.pyfunc.log_model(
        name=target,
        # Code and a folder, for a model that MLflow wraps itself is pickled.
        loader_module="headstart.tracking.fitted_pyfunc",
        data_path=str(dataset._filepath),
        code_paths=[str(Path(headstart.__file__).parent)],
        signature=ModelSignature(inputs=inputs, outputs=_ANSWER),
        model_config={**compute, "progress": False},
        pip_requirements=_requirements(),
    )


def _requirements() -> list[str]:
    """What the project needs, extras apart, in the versions that are installed here."""
    needed = [Requirement(text) for text in importlib.metadata.requires("headstart") or []]
    return [
        f"{one.name}=={importlib.metadata.version(one.name)}"
        for one in needed
        if one.marker is None or one.marker.evaluate()
    ]


def _path(catalog: CatalogProtocol, name: str) -> Path:
    dataset: Any = catalog.get(name)
    return Path(str(dataset._filepath))
