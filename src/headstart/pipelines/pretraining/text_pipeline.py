"""The pretraining stage of the text track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.checking import plan_of
from headstart.pipelines.pretraining import text_nodes
from headstart.pipelines.pretraining.checks import create_text_check

# Task -> the pretrained model that it begins with.
STARTS = {"masked_language": "minilm", "next_word": "smollm2", "post_training": "smollm2"}


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
                bind(text_nodes.pretrain_language, task=task, start=start, source=target),
                inputs=[
                    f"ingestion.{target}.texts",
                    f"ingestion.{target}.source_rows",
                    f"pretrained.{start}",
                    f"{here}.checkpoints",
                    f"params:text_pretraining.{task}",
                    "params:compute",
                    plan_of("pretraining", task),
                ],
                outputs=[f"{here}.model", f"{here}.scores", f"{here}.history"],
                name="pretrain",
                namespace=here,
            ),
            create_text_check(task, start),
        ]
    )


def create_post_training_pipeline(source: str) -> Pipeline:
    """Teach a pretrained causal model to answer, by the labeled texts of a source task.

    Args:
        source: its name; its texts are the catalog entry `<source>.source`.
    """
    here, start = f"pretraining.{source}.post_training", STARTS["post_training"]
    return Pipeline(
        [
            Node(
                bind(text_nodes.post_train_language, start=start, source=source),
                inputs=[
                    f"ingestion.{source}.texts",
                    f"ingestion.{source}.source_rows",
                    f"pretrained.{start}",
                    f"{here}.checkpoints",
                    "params:text_pretraining.post_training",
                    "params:compute",
                    plan_of("pretraining", "post_training"),
                ],
                outputs=[f"{here}.model", f"{here}.scores", f"{here}.history"],
                name="post_train",
                namespace=here,
            ),
            create_text_check("post_training", start),
        ]
    )
