"""Without the extra, or without its configuration, nothing is logged and nothing breaks."""

import sys
from types import SimpleNamespace

from kedro.config import OmegaConfigLoader
from kedro.pipeline import Pipeline

from headstart.settings import CONFIG_LOADER_ARGS
from headstart.tracking import hooks


def ran(conf: str) -> SimpleNamespace:
    """The context after a run without nodes, with this configuration folder."""
    context = SimpleNamespace(
        config_loader=OmegaConfigLoader(conf, env="base", **CONFIG_LOADER_ARGS), env="base"
    )
    hook = hooks.TrackingHooks()
    hook.after_context_created(context)
    hook.before_pipeline_run(Pipeline([]))
    hook.after_pipeline_run(Pipeline([]), {})
    return context


def test_without_the_extra(monkeypatch, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mlflow.yml").write_text("server: {mlflow_tracking_uri: nowhere}")
    monkeypatch.setattr(hooks, "find_spec", lambda name: None)
    context = ran(str(tmp_path))
    assert not hasattr(context, "mlflow")
    assert "mlflow" not in sys.modules


def test_with_the_extra_and_no_configuration(monkeypatch, tmp_path):
    (tmp_path / "base").mkdir()
    monkeypatch.setattr(hooks, "find_spec", lambda name: object())
    assert not hasattr(ran(str(tmp_path)), "mlflow")
