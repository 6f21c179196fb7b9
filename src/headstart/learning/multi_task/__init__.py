"""Learning across a fixed set of tasks: tables of several tasks."""
