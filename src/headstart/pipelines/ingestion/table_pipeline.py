"""The ingestion stage of the tables track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.ingestion import table_nodes


def create_table_pipeline(target: str) -> Pipeline:
    """Read, screen, split and draw.

    Args:
        target: name of the target; its table is the catalog entry `<target>.target`.
    """
    here, labels = f"ingestion.{target}", f"ingestion.labels.{target}"
    return Pipeline(
        [
            Node(
                for_target(table_nodes.read_table, target),
                inputs=[
                    f"{target}.target",
                    "params:ingestion",
                    "params:table_ingestion",
                    "params:draws",
                ],
                outputs=[
                    f"{here}.{part}"
                    for part in ("table", "columns", "screened", "quarantine", "counts")
                ],
                name="read",
                namespace=f"ingestion.tables.{target}",
            ),
            Node(
                for_target(table_nodes.split_table, target),
                inputs=[
                    f"{here}.screened",
                    f"{here}.columns",
                    "quarantine",
                    f"{here}.counts",
                    "params:ingestion",
                ],
                outputs=[f"{here}.splits", f"{here}.summary"],
                name="split",
                namespace=labels,
            ),
            Node(
                for_target(table_nodes.draw_rows, target),
                inputs=[f"{here}.splits", f"{here}.columns", "params:draws"],
                outputs=[f"{here}.draws", f"{here}.drawn_rows"],
                name="draw",
                namespace=labels,
            ),
        ]
    )
