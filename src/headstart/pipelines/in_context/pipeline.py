"""The in-context stage of the text track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.in_context import nodes


def create_pipeline(target: str, name: str, model: str) -> Pipeline:
    """Classify a target's texts by the prompt of a causal language model.

    Args:
        target: name of the target.
        name: of the model.
        model: its catalog name.
    """
    here = f"in_context.{target}.{name}"
    return Pipeline(
        [
            Node(
                bind(nodes.learn_in_context, representation=name, target=target),
                inputs=[
                    f"ingestion.{target}.texts",
                    f"ingestion.{target}.splits",
                    f"ingestion.{target}.draws",
                    model,
                    "params:in_context",
                    "params:compute",
                ],
                outputs=[f"{here}.scores", f"{here}.predictions"],
                name="in_context",
                namespace=here,
            )
        ]
    )
