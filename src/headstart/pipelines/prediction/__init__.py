"""Prediction: the recommended model handed over, and used on new images, texts or tables."""

from headstart.pipelines.prediction.pipeline import (
    create_hand_over_pipeline,
    create_pipeline,
    create_table_hand_over_pipeline,
    create_table_pipeline,
    create_text_hand_over_pipeline,
    create_text_pipeline,
)

__all__ = [
    "create_hand_over_pipeline",
    "create_pipeline",
    "create_table_hand_over_pipeline",
    "create_table_pipeline",
    "create_text_hand_over_pipeline",
    "create_text_pipeline",
]
