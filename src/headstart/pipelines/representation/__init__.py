"""Representation: encoders, the features that they extract, and maps to look at."""

from headstart.pipelines.representation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
