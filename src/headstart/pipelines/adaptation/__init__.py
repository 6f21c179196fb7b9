"""Adaptation: a task of the user's own, learned from a few examples by what was meta-trained."""

from headstart.pipelines.adaptation.pipeline import create_pipeline, create_regression_pipeline

__all__ = ["create_pipeline", "create_regression_pipeline"]
