"""The adaptation stage."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.adaptation import nodes


def create_pipeline() -> Pipeline:
    """Learn classes from a folder of labeled images, and predict those of new images."""
    return Pipeline(
        [
            Node(
                nodes.learn_images,
                inputs=[
                    "adaptation.learner",
                    "adaptation.labeled",
                    "params:adaptation",
                    "params:compute",
                ],
                outputs=["adaptation.model", "adaptation.labeled_rejected"],
                name="learn",
                namespace="adaptation",
            ),
            Node(
                nodes.predict_images,
                inputs=[
                    "adaptation.model",
                    "adaptation.images",
                    "params:adaptation",
                    "params:compute",
                ],
                outputs=["adaptation.table", "adaptation.images_rejected"],
                name="predict",
                namespace="adaptation",
            ),
        ]
    )


def create_regression_pipeline() -> Pipeline:
    """Learn a curve from some of its points, and predict others."""
    return Pipeline(
        [
            Node(
                nodes.learn_points,
                inputs=["adaptation.learner", "adaptation.points", "params:adaptation"],
                outputs="adaptation.model",
                name="learn",
                namespace="regression_adaptation",
            ),
            Node(
                nodes.predict_points,
                inputs=["adaptation.model", "adaptation.points", "params:adaptation"],
                outputs="adaptation.numbers",
                name="predict",
                namespace="regression_adaptation",
            ),
        ]
    )
