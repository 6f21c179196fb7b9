"""Kedro: what runs after what. A folder a stage."""
