"""Ingestion: from files to decoded images, splits and draws of labels."""

from headstart.pipelines.ingestion.pipeline import (
    create_pipeline,
    create_quarantine_pipeline,
    create_source_pipeline,
)

__all__ = ["create_pipeline", "create_quarantine_pipeline", "create_source_pipeline"]
