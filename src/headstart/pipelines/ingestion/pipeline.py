"""The ingestion stage of the images track."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.ingestion import nodes


def create_pipeline(target: str, has_source: bool) -> Pipeline:
    """Decode, screen, split and draw.

    Args:
        target: name of the target; its images are the catalog entry `<target>.target`.
        has_source: whether there is a catalog entry `<target>.source`.
    """
    here = f"ingestion.{target}"
    # Between the two the quarantine of all targets is joined: apart, each can be run alone.
    images = f"ingestion.images.{target}"
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
                bind(nodes.decode_source, source=target),
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
            *label_nodes(target, sources),
        ]
    )


def label_nodes(target: str, sources: Sequence[str]) -> list[Node]:
    """Split a target that was screened, and draw labels.

    Args:
        target: name of the target.
        sources: catalog names of what it transfers from, where that is not the target itself.
    """
    here, labels = f"ingestion.{target}", f"ingestion.labels.{target}"
    return [
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


def create_source_pipeline(source: str, targets: Sequence[str]) -> Pipeline:
    """Decode a source that is no target's own, and keep the targets' images out of it.

    Args:
        source: its name; its images are the catalog entry `<source>.source`.
        targets: names of the targets.
    """
    here = f"ingestion.{source}"
    images, rows = f"ingestion.images.{source}", f"ingestion.labels.{source}"
    return Pipeline(
        [
            Node(
                bind(nodes.decode_source, source=source),
                inputs=[f"{source}.source", "params:ingestion", "params:compute"],
                outputs=f"{here}.source_images",
                name="decode_source",
                namespace=images,
            ),
            Node(
                bind(nodes.screen_source, source=source),
                inputs=f"{here}.source_images",
                outputs=f"{here}.quarantine",
                name="screen",
                namespace=images,
            ),
            Node(
                bind(nodes.choose_source_rows, source=source),
                inputs=[
                    f"{here}.source_images",
                    "quarantine",
                    "params:ingestion",
                    *(f"ingestion.{target}.screened" for target in targets),
                ],
                outputs=f"{here}.source_rows",
                name="choose_rows",
                namespace=rows,
            ),
        ]
    )


def create_quarantine_pipeline(read: Sequence[str], families: Sequence[str] = ()) -> Pipeline:
    """Join what was set aside of all targets and sources.

    Args:
        read: names of the targets, and of the sources that are no target's own.
        families: names of the families of few-shot tasks.
    """
    return Pipeline(
        [
            Node(
                nodes.join_quarantine,
                inputs=[
                    *(f"ingestion.{name}.quarantine" for name in read),
                    *(f"ingestion.{name}.few_shot_quarantine" for name in families),
                ],
                outputs="quarantine",
                name="join_quarantine",
                namespace="ingestion",
            )
        ]
    )
