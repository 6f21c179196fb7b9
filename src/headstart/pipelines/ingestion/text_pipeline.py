"""The ingestion stage of the text track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.ingestion import nodes, text_nodes


def create_text_pipeline(target: str) -> Pipeline:
    """Read, screen, split and draw.

    Args:
        target: name of the target; its texts are the catalog entry `<target>.target`. The source
            are its own texts without the test texts.
    """
    here, texts, labels = (
        f"{name}.{target}" for name in ("ingestion", "ingestion.texts", "ingestion.labels")
    )
    return Pipeline(
        [
            Node(
                for_target(text_nodes.read_texts, target),
                inputs=f"{target}.target",
                outputs=[
                    f"{here}.{part}" for part in ("texts", "screened", "quarantine", "counts")
                ],
                name="read",
                namespace=texts,
            ),
            Node(
                for_target(nodes.split_target, target),
                inputs=[f"{here}.screened", "quarantine", f"{here}.counts", "params:ingestion"],
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
