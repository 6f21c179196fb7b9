"""The ingestion stage of the text track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
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
