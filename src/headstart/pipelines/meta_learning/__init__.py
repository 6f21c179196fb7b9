"""Learning to learn: meta-training on a family of tasks, and how new tasks are learned."""

from headstart.pipelines.meta_learning.pipeline import (
    create_check_pipeline,
    create_classes_pipeline,
    create_sinusoids_pipeline,
)

__all__ = [
    "create_check_pipeline",
    "create_classes_pipeline",
    "create_sinusoids_pipeline",
]
