"""Representation: encoders, the features that they extract, and maps to look at."""

from headstart.pipelines.representation.pipeline import create_pipeline
from headstart.pipelines.representation.text_pipeline import create_text_pipeline

__all__ = ["create_pipeline", "create_text_pipeline"]
