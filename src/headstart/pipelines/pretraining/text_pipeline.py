"""The pretraining stage of the text track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.pretraining import text_nodes

# Task -> the pretrained model that reads on.
STARTS = {"masked_language": "minilm", "next_word": "smollm2"}


def create_text_pipeline(target: str, task: str) -> Pipeline:
    """Let a pretrained model read on in a target's unlabeled texts.

    Args:
        target: name of the target.
        task: masked_language or next_word.
    """
    here, start = f"pretraining.{target}.{task}", STARTS[task]
    return Pipeline(
        [
            Node(
                bind(text_nodes.pretrain_language, task=task, start=start, target=target),
                inputs=[
                    f"ingestion.{target}.texts",
                    f"ingestion.{target}.source_rows",
                    f"pretrained.{start}",
                    f"{here}.checkpoints",
                    f"params:text_pretraining.{task}",
                    "params:compute",
                ],
                outputs=[f"{here}.model", f"{here}.scores", f"{here}.history"],
                name="pretrain",
                namespace=here,
            )
        ]
    )
