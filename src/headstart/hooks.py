"""Kedro hooks of this project."""

from typing import Any

from kedro.framework.hooks import hook_impl


class ExperimentHooks:
    """Builds the pipelines for the parameters of the run, and says where its data are."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Read which targets, representations and methods there are, and refuse unknown names."""
        from kedro.framework.project import pipelines

        from headstart import pipeline_registry, run_lock
        from headstart.experiment import STAGES, Experiment, read_experiment, refuse_unknown

        parameters = context.config_loader["parameters"]
        experiment = read_experiment(parameters, context.config_loader["catalog"])
        pipeline_registry.use(experiment)
        data = str(context.config_loader["globals"]["data"])
        run_lock.use(None if "://" in data else context.project_path / data)
        read = {
            name.removeprefix("params:").split(".")[0]
            for pipeline in pipelines.values()
            for name in pipeline.inputs()
            if name.startswith("params:")
        }
        refuse_unknown(parameters, read | STAGES | Experiment.parameters())


class ConfigurationHooks:
    """Puts the configuration alone beside each language model of the catalog.

    Before a model is loaded it is asked whether training it would fit, and what is asked must be
    the model that the catalog names, whatever entry the user has put in its place.
    """

    @hook_impl
    def after_catalog_created(self, catalog: Any, conf_catalog: dict[str, Any]) -> None:
        """`pretrained.minilm.configuration` beside `pretrained.minilm`, and so on."""
        from headstart.datasets import ConfigurationDataset
        from headstart.datasets.configuration import SUFFIX
        from headstart.experiment import language_models

        for name in language_models(conf_catalog):
            catalog[name + SUFFIX] = ConfigurationDataset(catalog.get(name))
