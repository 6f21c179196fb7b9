"""Pretraining: encoders that learn a pretext task on a source, without its labels."""

from headstart.pipelines.pretraining.pipeline import create_gallery_pipeline, create_pipeline
from headstart.pipelines.pretraining.text_pipeline import create_text_pipeline

__all__ = ["create_gallery_pipeline", "create_pipeline", "create_text_pipeline"]
