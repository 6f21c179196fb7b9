"""Ingestion: from files to examples that can be used, splits and draws of labels."""

from headstart.pipelines.ingestion.few_shot_pipeline import create_few_shot_pipeline
from headstart.pipelines.ingestion.pipeline import (
    create_pipeline,
    create_quarantine_pipeline,
    create_source_pipeline,
)
from headstart.pipelines.ingestion.table_pipeline import create_table_pipeline
from headstart.pipelines.ingestion.text_pipeline import (
    create_text_pipeline,
    create_text_source_pipeline,
)

__all__ = [
    "create_few_shot_pipeline",
    "create_pipeline",
    "create_quarantine_pipeline",
    "create_source_pipeline",
    "create_table_pipeline",
    "create_text_pipeline",
    "create_text_source_pipeline",
]
