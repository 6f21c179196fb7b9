"""Prediction: the recommended model handed over, and used on new images or texts."""

from headstart.pipelines.prediction.pipeline import (
    create_hand_over_pipeline,
    create_pipeline,
    create_text_hand_over_pipeline,
    create_text_pipeline,
)

__all__ = [
    "create_hand_over_pipeline",
    "create_pipeline",
    "create_text_hand_over_pipeline",
    "create_text_pipeline",
]
