"""MLflow: what is logged of a finished experiment (docs/tracking.md)."""
