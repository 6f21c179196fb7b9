"""The prediction stage."""

from collections.abc import Mapping, Sequence

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.prediction import nodes, table_nodes, text_nodes


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
            _card_node(target, f"models.{target}", "recommendations"),
        ]
    )


def create_text_hand_over_pipeline(target: str, models: Mapping[str, str]) -> Pipeline:
    """Fit the recommended method of a target that is texts again, save it and write its card.

    Args:
        target: name of the target.
        models: representation -> catalog name of the language model that makes it.
    """
    here = f"ingestion.{target}"
    return Pipeline(
        [
            Node(
                bind(text_nodes.hand_over_text, representations=list(models), target=target),
                inputs=[
                    "validation",
                    "leaderboard",
                    f"{here}.texts",
                    f"{here}.splits",
                    f"{here}.draws",
                    "params:evaluation",
                    "params:text_representation",
                    "params:probing",
                    "params:text_fine_tuning",
                    "params:compute",
                    *models.values(),
                ],
                outputs=[f"text_models.{target}", f"prediction.{target}.handed_over"],
                name="hand_over",
                namespace=f"prediction.{target}",
            ),
            _card_node(target, f"text_models.{target}", f"prediction.{target}.handed_over"),
        ]
    )


def create_table_hand_over_pipeline(target: str) -> Pipeline:
    """Fit the recommended method of a table of several tasks again, save it and write its card.

    Args:
        target: name of the target.
    """
    here = f"ingestion.{target}"
    return Pipeline(
        [
            Node(
                for_target(table_nodes.hand_over_tasks, target),
                inputs=[
                    "recommendations",
                    "validation",
                    f"{here}.table",
                    f"{here}.columns",
                    f"{here}.splits",
                    f"{here}.draws",
                    "params:multi_task",
                    "params:compute",
                ],
                outputs=f"table_models.{target}",
                name="hand_over",
                namespace=f"prediction.{target}",
            ),
            _card_node(target, f"table_models.{target}", "recommendations"),
        ]
    )


def create_table_pipeline() -> Pipeline:
    """Predict the targets of a table of new rows of several tasks."""
    return Pipeline(
        [
            Node(
                table_nodes.predict_table,
                inputs=["prediction.table_model", "prediction.rows", "params:prediction"],
                outputs="prediction.row_table",
                name="predict_table",
                namespace="table_prediction",
            )
        ]
    )


def create_text_pipeline() -> Pipeline:
    """Predict the classes of a table of new texts."""
    return Pipeline(
        [
            Node(
                text_nodes.predict_texts,
                inputs=[
                    "prediction.text_model",
                    "prediction.texts",
                    "params:prediction",
                    "params:compute",
                ],
                outputs="prediction.text_table",
                name="predict_texts",
                namespace="text_prediction",
            )
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


def _card_node(target: str, model: str, recommendations: str) -> Node:
    return Node(
        for_target(nodes.write_model_card, target),
        inputs=[
            model,
            recommendations,
            "leaderboard",
            "predictions",
            f"ingestion.{target}.summary",
            "params:evaluation",
            "parameters",
        ],
        outputs=f"model_cards.{target}",
        name="write_model_card",
        namespace=f"prediction.{target}",
    )
