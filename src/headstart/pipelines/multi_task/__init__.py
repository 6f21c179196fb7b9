"""Learning across the tasks of a table: layer sharing, regularization, conflict."""

from headstart.pipelines.multi_task.pipeline import create_gains_pipeline, create_pipeline

__all__ = ["create_gains_pipeline", "create_pipeline"]
