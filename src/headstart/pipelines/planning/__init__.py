"""Planning: what a training needs, before it is started. Not a part of the default run."""

from headstart.pipelines.planning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
