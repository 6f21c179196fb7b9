"""Meta-learning: an initialization, or a metric, from which a new task is learned quickly."""
