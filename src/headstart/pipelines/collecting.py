"""The last nodes of a stage: its tables as one, so that few data sets leave the stage."""

from collections.abc import Mapping, Sequence

import pandas as pd
from kedro.pipeline import Node, Pipeline


def collect(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables with the same columns as one."""
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def create_pipeline(stage: str, tables: Mapping[str, Sequence[str]]) -> Pipeline:
    """A node for each kind of table that joins all tables of that kind.

    Args:
        stage: name of the stage, and of the namespace.
        tables: kind -> catalog names of the tables; the whole is called `<stage>.<kind>`. A kind
            without tables has no node.
    """
    return Pipeline(
        [
            Node(
                collect,
                inputs=list(parts),
                outputs=f"{stage}.{kind}",
                name=f"collect_{kind}",
                namespace=stage,
            )
            for kind, parts in tables.items()
            if parts
        ]
    )
