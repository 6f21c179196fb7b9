"""Evaluation: results, leaderboard, recommendation and report."""

from headstart.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
