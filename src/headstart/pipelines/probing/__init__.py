"""Probing: what the frozen representations are worth on a target."""

from headstart.pipelines.probing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
