"""Prediction: the recommended model handed over, and used on new images."""

from headstart.pipelines.prediction.pipeline import create_hand_over_pipeline, create_pipeline

__all__ = ["create_hand_over_pipeline", "create_pipeline"]
