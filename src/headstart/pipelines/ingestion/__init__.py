"""Ingestion: from files to decoded images, splits and draws of labels."""

from headstart.pipelines.ingestion.pipeline import (
    create_pipeline,
    create_quarantine_pipeline,
    create_source_pipeline,
)
from headstart.pipelines.ingestion.text_pipeline import create_text_pipeline

__all__ = [
    "create_pipeline",
    "create_quarantine_pipeline",
    "create_source_pipeline",
    "create_text_pipeline",
]
