"""Pretraining: what networks learn from a source before they are used on a target."""

from headstart.pipelines.pretraining.pipeline import create_gallery_pipeline, create_pipeline
from headstart.pipelines.pretraining.text_pipeline import (
    create_post_training_pipeline,
    create_text_pipeline,
)

__all__ = [
    "create_gallery_pipeline",
    "create_pipeline",
    "create_post_training_pipeline",
    "create_text_pipeline",
]
