"""The Kedro hook that logs a finished experiment, where the extra `mlflow` is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from headstart.errors import HeadstartError


class TrackingHooks:
    """One MLflow run for every whole `kedro run` that made new results.

    kedro-mlflow reads conf/<env>/mlflow.yml and knows the server, the experiment and the
    credentials. Its own hooks are switched off in the settings: they would log the parameters of
    those nodes alone that are not skipped, and open a run for every part of the project.
    """

    def __init__(self) -> None:
        self._context: Any = None  # None: nothing is logged

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Read conf/<env>/mlflow.yml, where there is one and kedro-mlflow to read it."""
        self._context = None
        if find_spec("kedro_mlflow") is None:
            return
        try:
            configured = context.config_loader["mlflow"]
        except MissingConfigException:
            configured = {}
        if not configured:
            return
        from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig

        context.mlflow = KedroMlflowConfig.model_validate(configured)  # `kedro mlflow ui` reads it
        self._context = context

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Connect to the server: where that fails, it fails before anything long starts."""
        if self._logs(pipeline):
            with _explained("There is no MLflow to log to; see conf/base/mlflow.yml"):
                self._context.mlflow.setup(self._context)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Log the results."""
        if self._logs(pipeline):
            from headstart.tracking.mlflow_run import log_results

            with _explained(
                "All results are written, but not logged; run again to log them, nothing is "
                "trained anew"
            ):
                log_results(self._context.mlflow.tracking, pipeline, catalog, self._context.env)

    def _logs(self, pipeline: Pipeline) -> bool:
        if self._context is None:
            return False
        disabled = self._context.mlflow.tracking.disable_tracking.pipelines
        whole = set(pipelines["__default__"].nodes)
        return "__default__" not in disabled and set(pipeline.nodes) == whole


@contextmanager
def _explained(what: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise HeadstartError(f"{what} ({error}).") from error
