"""The planning stage."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.planning import nodes


def create_pipeline() -> Pipeline:
    """Predict memory, GPUs and time of every planned training, and show them."""
    return Pipeline(
        [
            Node(
                nodes.plan,
                inputs=[
                    "planning.gpus",
                    "planning.configurations",
                    "params:planning",
                    "params:compute",
                ],
                outputs=["planning.memory", "planning.gpu_plan"],
                name="plan",
                namespace="planning",
            ),
            Node(
                nodes.draw_memory,
                inputs="planning.memory",
                outputs="planning.memory_figure",
                name="draw_memory",
                namespace="planning",
            ),
            Node(
                nodes.write_page,
                inputs=["planning.memory_figure", "planning.memory", "planning.gpu_plan"],
                outputs="planning.page",
                name="write_page",
                namespace="planning",
            ),
        ]
    )
