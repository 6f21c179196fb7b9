"""The ingestion stage of the images track."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.ingestion import nodes


def create_pipeline(target: str, has_source: bool) -> Pipeline:
    """Decode, screen, split and draw.

    Args:
        target: name of the target; its images are the catalog entry `<target>.target`.
        has_source: whether there is a catalog entry `<target>.source`.
    """
    here = f"ingestion.{target}"
    # Between the two the quarantine of all targets is joined: apart, each can be run alone.
    images, labels = f"ingestion.images.{target}", f"ingestion.labels.{target}"
    sources = [f"{here}.source_images"] if has_source else []
    decoding = [
        Node(
            for_target(nodes.decode_target, target),
            inputs=[f"{target}.target", "params:ingestion", "params:compute"],
            outputs=f"{here}.target_images",
            name="decode_target",
            namespace=images,
        )
    ]
    if has_source:
        decoding.append(
            Node(
                for_target(nodes.decode_source, target),
                inputs=[f"{target}.source", "params:ingestion", "params:compute"],
                outputs=f"{here}.source_images",
                name="decode_source",
                namespace=images,
            )
        )
    return Pipeline(
        [
            *decoding,
            Node(
                for_target(nodes.screen_images, target),
                inputs=[f"{here}.target_images", *sources],
                outputs=[f"{here}.screened", f"{here}.quarantine", f"{here}.counts"],
                name="screen",
                namespace=images,
            ),
            Node(
                for_target(nodes.split_target, target),
                inputs=[
                    f"{here}.screened",
                    "quarantine",
                    f"{here}.counts",
                    "params:ingestion",
                    *sources,
                ],
                outputs=[f"{here}.splits", f"{here}.source_rows", f"{here}.summary"],
                name="split",
                namespace=labels,
            ),
            Node(
                for_target(nodes.draw_labels, target),
                inputs=[f"{here}.splits", "params:draws"],
                outputs=f"{here}.draws",
                name="draw",
                namespace=labels,
            ),
        ]
    )


def create_quarantine_pipeline(targets: Sequence[str]) -> Pipeline:
    """Join what was set aside of all targets.

    Args:
        targets: names of the targets.
    """
    return Pipeline(
        [
            Node(
                nodes.join_quarantine,
                inputs=[f"ingestion.{target}.quarantine" for target in targets],
                outputs="quarantine",
                name="join_quarantine",
                namespace="ingestion",
            )
        ]
    )
