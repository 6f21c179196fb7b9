"""The prediction stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import for_target
from headstart.pipelines.prediction import nodes


def create_hand_over_pipeline(target: str, encoders: Sequence[str]) -> Pipeline:
    """Fit the recommended method again, save the model and write its card.

    Args:
        target: name of the target.
        encoders: catalog names of the encoders of all representations that may be recommended.
    """
    here = f"ingestion.{target}"
    return Pipeline(
        [
            Node(
                for_target(nodes.hand_over, target),
                inputs=[
                    "recommendations",
                    "validation",
                    f"{here}.target_images",
                    f"{here}.splits",
                    f"{here}.draws",
                    "params:ingestion",
                    "params:probing",
                    "params:fine_tuning",
                    "params:compute",
                    *encoders,
                ],
                outputs=f"models.{target}",
                name="hand_over",
                namespace=f"prediction.{target}",
            ),
            Node(
                for_target(nodes.write_model_card, target),
                inputs=[
                    f"models.{target}",
                    "recommendations",
                    "leaderboard",
                    "predictions",
                    f"{here}.summary",
                    "params:evaluation",
                    "parameters",
                ],
                outputs=f"model_cards.{target}",
                name="write_model_card",
                namespace=f"prediction.{target}",
            ),
        ]
    )


def create_pipeline() -> Pipeline:
    """Predict the classes of a folder of new images."""
    return Pipeline(
        [
            Node(
                nodes.predict_images,
                inputs=[
                    "prediction.model",
                    "prediction.images",
                    "params:prediction",
                    "params:compute",
                ],
                outputs=["prediction.table", "prediction.rejected"],
                name="predict",
                namespace="prediction",
            )
        ]
    )
