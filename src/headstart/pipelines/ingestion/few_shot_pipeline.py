"""The ingestion stage of the few_shot track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.ingestion import few_shot_nodes


def create_few_shot_pipeline(family: str) -> Pipeline:
    """Decode, screen and split the classes.

    Args:
        family: name of a family of tasks; its images are the catalog entry `<family>.target`. It
            may be a target of the images track, too.
    """
    here = f"ingestion.{family}"
    # Between the two the quarantine of everything is joined: apart, each can be run alone.
    images, classes = f"ingestion.few_shot_images.{family}", f"ingestion.few_shot_classes.{family}"
    return Pipeline(
        [
            Node(
                bind(few_shot_nodes.decode_family, family=family),
                inputs=[f"{family}.target", "params:few_shot_ingestion", "params:compute"],
                outputs=f"{here}.images",
                name="decode",
                namespace=images,
            ),
            Node(
                bind(few_shot_nodes.screen_family, family=family),
                inputs=[f"{here}.images", "params:few_shot_ingestion"],
                outputs=[
                    f"{here}.few_shot_screened",
                    f"{here}.few_shot_quarantine",
                    f"{here}.few_shot_counts",
                ],
                name="screen",
                namespace=images,
            ),
            Node(
                bind(few_shot_nodes.split_family, family=family),
                inputs=[
                    f"{here}.few_shot_screened",
                    "quarantine",
                    f"{here}.few_shot_counts",
                    "params:few_shot_ingestion",
                ],
                outputs=[f"{here}.classes", f"{here}.examples", f"{here}.few_shot_summary"],
                name="split_classes",
                namespace=classes,
            ),
        ]
    )
