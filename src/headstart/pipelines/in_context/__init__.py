"""In-context learning: a frozen causal language model reads the labeled examples in its prompt."""

from headstart.pipelines.in_context.pipeline import create_pipeline

__all__ = ["create_pipeline"]
