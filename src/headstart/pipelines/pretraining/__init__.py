"""Pretraining: encoders that learn a pretext task on a source, without its labels."""

from headstart.pipelines.pretraining.pipeline import create_gallery_pipeline, create_pipeline

__all__ = ["create_gallery_pipeline", "create_pipeline"]
