"""Fine-tuning: pretrained networks trained on the target, and the baseline from scratch."""

from headstart.pipelines.fine_tuning.pipeline import create_baseline_pipeline, create_pipeline
from headstart.pipelines.fine_tuning.text_pipeline import (
    create_cost_pipeline,
    create_rank_pipeline,
    create_text_pipeline,
)

__all__ = [
    "create_baseline_pipeline",
    "create_cost_pipeline",
    "create_pipeline",
    "create_rank_pipeline",
    "create_text_pipeline",
]
