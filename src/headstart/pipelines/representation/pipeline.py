"""The representation stage of the images track."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.representation import nodes


def create_pipeline(
    target: str, encoders: Mapping[str, str], representations: Sequence[str], source: str
) -> Pipeline:
    """Make encoders; extract, map and measure their representations.

    Args:
        target: name of the target.
        encoders: name -> catalog name of its encoder; those of the pretext tasks are made by the
            pretraining stage.
        representations: those of them whose features are extracted.
        source: catalog name of the images that `pca` learns from.
    """
    making: dict[str, tuple[Callable[..., Any], list[str]]] = {
        "pixels": (nodes.encode_pixels, ["params:representation"]),
        "pca": (
            nodes.encode_pca,
            [source, f"ingestion.{target}.source_rows", "params:representation"],
        ),
        "random": (nodes.encode_random, ["params:pretraining.network"]),
        "imagenet": (nodes.encode_imagenet, ["pretrained.imagenet", "params:representation"]),
        "imagenet_untrained": (
            nodes.encode_imagenet_untrained,
            ["params:representation", "params:pretraining.network"],
        ),
    }
    stage = []
    for name, encoder in encoders.items():
        here = f"representation.{target}.{name}"
        images, splits = f"ingestion.{target}.target_images", f"ingestion.{target}.splits"
        if name in making:
            function, made_of = making[name]
            stage.append(
                Node(function, inputs=made_of, outputs=encoder, name="encoder", namespace=here)
            )
        if name not in representations:
            continue
        stage += [
            Node(
                nodes.extract_features,
                inputs=[images, encoder, "params:compute"],
                outputs=f"{here}.features",
                name="extract",
                namespace=here,
            ),
            Node(
                nodes.draw_map,
                inputs=[f"{here}.features", splits, "params:representation"],
                outputs=f"{here}.map",
                name="map",
                namespace=here,
            ),
            Node(
                for_target(nodes.measure_quality, target),
                inputs=[images, encoder, splits, "params:representation", "params:compute"],
                outputs=f"{here}.quality",
                name="measure",
                namespace=here,
            ),
        ]
    return Pipeline(stage)
