"""The multi-task stage of the tables track."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.checking import plan_of
from headstart.pipelines.multi_task import nodes
from headstart.pipelines.multi_task.checks import create_check


def create_pipeline(target: str, method: str) -> Pipeline:
    """Learn the tasks of a table by one method.

    Args:
        target: name of the target.
        method: a key of `headstart.learning.multi_task.registry.METHODS`.
    """
    here = f"multi_task.{target}.{method}"
    return Pipeline(
        [
            Node(
                bind(nodes.fit_method, method=method, target=target),
                inputs=[
                    f"ingestion.{target}.table",
                    f"ingestion.{target}.columns",
                    f"ingestion.{target}.splits",
                    f"ingestion.{target}.draws",
                    f"multi_task.{target}.checkpoints",
                    "params:multi_task",
                    "params:compute",
                    plan_of("multi_task", f"{target}_{method}"),
                ],
                outputs=[
                    f"{here}.{table}" for table in ("scores", "predictions", "history", "cosines")
                ],
                name="fit",
                namespace=here,
            ),
            create_check(target, method),
        ]
    )


def create_gains_pipeline(target: str) -> Pipeline:
    """Measure which tasks of a table help which.

    Args:
        target: name of the target.
    """
    return Pipeline(
        [
            Node(
                for_target(nodes.measure_pair_gains, target),
                inputs=[
                    f"ingestion.{target}.table",
                    f"ingestion.{target}.columns",
                    f"ingestion.{target}.draws",
                    "params:multi_task",
                    "params:compute",
                    plan_of("multi_task", f"{target}_pair_gains"),
                ],
                outputs=f"multi_task.{target}.pair_gains",
                name="pair_gains",
                namespace=f"multi_task.{target}",
            ),
            create_check(target, "pair_gains"),
        ]
    )
