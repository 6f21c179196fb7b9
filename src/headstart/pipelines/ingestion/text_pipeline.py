"""The ingestion stage of the text track."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.ingestion import text_nodes
from headstart.pipelines.ingestion.pipeline import label_nodes


def create_text_pipeline(target: str) -> Pipeline:
    """Read, screen, split and draw.

    Args:
        target: name of the target; its texts are the catalog entry `<target>.target`. The source
            are its own texts without the test texts.
    """
    here = f"ingestion.{target}"
    return Pipeline(
        [
            Node(
                for_target(text_nodes.read_texts, target),
                inputs=f"{target}.target",
                outputs=[
                    f"{here}.{part}" for part in ("texts", "screened", "quarantine", "counts")
                ],
                name="read",
                namespace=f"ingestion.texts.{target}",
            ),
            *label_nodes(target, sources=[]),
        ]
    )


def create_text_source_pipeline(source: str, targets: Sequence[str]) -> Pipeline:
    """Read and screen a labeled source, and keep the targets' texts out of it.

    Args:
        source: its name; its texts are the catalog entry `<source>.source`.
        targets: names of the targets that are texts.
    """
    here = f"ingestion.{source}"
    return Pipeline(
        [
            Node(
                bind(text_nodes.read_source_texts, source=source),
                inputs=f"{source}.source",
                outputs=[
                    f"{here}.{part}" for part in ("texts", "screened", "quarantine", "counts")
                ],
                name="read",
                namespace=f"ingestion.texts.{source}",
            ),
            Node(
                bind(text_nodes.choose_source_texts, source=source),
                inputs=[
                    f"{here}.screened",
                    "quarantine",
                    f"{here}.counts",
                    "params:ingestion",
                    *(f"ingestion.{target}.screened" for target in targets),
                ],
                outputs=f"{here}.source_rows",
                name="choose_rows",
                namespace=f"ingestion.labels.{source}",
            ),
        ]
    )
