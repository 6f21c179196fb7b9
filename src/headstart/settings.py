"""Kedro's settings of this project."""

import warnings

from headstart.hooks import ConfigurationHooks, ExperimentHooks
from headstart.tracking.hooks import TrackingHooks

# Said at every run; nothing that a user could act on.
for message in (
    r"register_new_resolver\(\) is deprecated",  # Kedro's use of omegaconf
    r"One or more dataset names contain '\.'",  # the names follow the namespaces on purpose
):
    warnings.filterwarnings("ignore", message=message)

HOOKS = (ExperimentHooks(), ConfigurationHooks(), TrackingHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")  # instead of TrackingHooks
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overrides single numbers of a parameter block, not whole blocks.
    "merge_strategy": {
        "parameters": "soft",
        "globals": "soft",
        "airflow": "soft",
        "mlflow": "soft",
    },
    "config_patterns": {"airflow": ["airflow*"], "mlflow": ["mlflow*"]},
}
RUNNER_MODULE_ALLOWLIST = ["headstart.runner"]
