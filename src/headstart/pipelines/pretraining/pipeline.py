"""The pretraining stage of the images track."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.learning.pretext.parameters import PretrainingParameters
from headstart.pipelines.binding import bind
from headstart.pipelines.checking import plan_of
from headstart.pipelines.pretraining import nodes
from headstart.pipelines.pretraining.checks import create_pretext_check


def create_pipeline(source: str, task: str, images: str, own_labels: bool) -> Pipeline:
    """Train an encoder on one pretext task.

    Args:
        source: name of the source.
        task: name of the task.
        images: catalog name of the source's images.
        own_labels: whether labels of these images are the source's, and not a target's.
    """
    here = f"pretraining.{source}.{task}"
    block = PretrainingParameters.model_fields[task].annotation
    function = bind(nodes.pretrain, task=task, source=source, own_labels=own_labels)
    function.__annotations__["parameters"] = block  # by which Kedro checks the task's own block
    return Pipeline(
        [
            Node(
                function,
                inputs=[
                    images,
                    f"ingestion.{source}.source_rows",
                    f"{here}.checkpoints",
                    "params:pretraining.network",
                    "params:pretraining.held_out",
                    "params:pretraining.batch_norm_rows",
                    f"params:pretraining.{task}",
                    "params:compute",
                    plan_of("pretraining", task),
                ],
                outputs=[f"{here}.{name}" for name in ("encoder", "scores", "history", "examples")],
                name="pretrain",
                namespace=here,
            ),
            create_pretext_check(task),
        ]
    )


def create_gallery_pipeline(examples: Sequence[str]) -> Pipeline:
    """What all tasks saw and said, together: few data sets leave the stage.

    Args:
        examples: catalog names of the examples of each task; without any there is no node.
    """
    node = Node(
        nodes.join_examples,
        inputs=list(examples),
        outputs="pretraining.examples",
        name="join_examples",
        namespace="pretraining",
    )
    return Pipeline([node] if examples else [])
