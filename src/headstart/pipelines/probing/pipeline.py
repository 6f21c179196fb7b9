"""The probing stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.probing import nodes

_METHODS = {"linear_probe": nodes.linear_probe, "nearest_neighbors": nodes.nearest_neighbors}


def create_pipeline(
    track: str, target: str, representation: str, methods: Sequence[str]
) -> Pipeline:
    """Use one frozen representation on one target.

    Args:
        track: of the target, `images` or `text`.
        target: name of the target.
        representation: name of the representation.
        methods: linear_probe, nearest_neighbors, or both.
    """
    here = f"probing.{target}.{representation}"
    return Pipeline(
        [
            Node(
                bind(_METHODS[method], track=track),
                inputs=[
                    f"representation.{target}.{representation}.features",
                    f"ingestion.{target}.splits",
                    f"ingestion.{target}.draws",
                    "params:probing",
                ],
                outputs=[f"{here}.{method}_scores", f"{here}.{method}_predictions"],
                name=method,
                namespace=here,
            )
            for method in methods
        ]
    )
