"""The representation stage of the images track."""

from collections.abc import Callable, Sequence
from typing import Any

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.representation import nodes


def create_pipeline(
    target: str, encoders: Sequence[str], representations: Sequence[str], has_source: bool
) -> Pipeline:
    """Make encoders; extract and map their representations.

    Args:
        target: name of the target.
        encoders: which to make: pixels, pca, random, imagenet.
        representations: those of them whose features are extracted.
        has_source: whether there are source images; `pca` learns from the target's otherwise.
    """
    source = f"ingestion.{target}.{'source' if has_source else 'target'}_images"
    making: dict[str, tuple[Callable[..., Any], list[str]]] = {
        "pixels": (nodes.encode_pixels, []),
        "pca": (nodes.encode_pca, [source, f"ingestion.{target}.source_rows"]),
        "random": (nodes.encode_random, []),
        "imagenet": (nodes.encode_imagenet, ["pretrained.imagenet"]),
    }
    stage = []
    for name in encoders:
        here = f"representation.{target}.{name}"
        function, learned_from = making[name]
        stage.append(
            Node(
                function,
                inputs=[*learned_from, "params:representation"],
                outputs=f"{here}.encoder",
                name="encoder",
                namespace=here,
            )
        )
        if name not in representations:
            continue
        stage += [
            Node(
                nodes.extract_features,
                inputs=[f"ingestion.{target}.target_images", f"{here}.encoder", "params:compute"],
                outputs=f"{here}.features",
                name="extract",
                namespace=here,
            ),
            Node(
                nodes.draw_map,
                inputs=[f"{here}.features", f"ingestion.{target}.splits", "params:representation"],
                outputs=f"{here}.map",
                name="map",
                namespace=here,
            ),
        ]
    return Pipeline(stage)
