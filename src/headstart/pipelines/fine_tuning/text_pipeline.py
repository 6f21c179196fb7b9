"""Fine-tuning, LoRA and BitFit of language models, their baseline from scratch, their costs."""

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind
from headstart.pipelines.checking import plan_of
from headstart.pipelines.fine_tuning import text_nodes
from headstart.pipelines.fine_tuning.checks import create_text_check

# Of the methods that do not train all weights: what they train.
_CHANGES = {"lora": text_nodes.add_adapters, "bitfit": text_nodes.free_biases}


def create_text_pipeline(target: str, method: str) -> Pipeline:
    """Adapt the pretrained encoder to a target by one method.

    Args:
        target: name of the target.
        method: fine_tune, from_scratch, lora or bitfit.
    """
    start = "minilm_untrained" if method == "from_scratch" else "minilm"
    stage = "fine_tuning" if method in ("fine_tune", "from_scratch") else "lora"
    here = f"{stage}.{target}.{start}"
    # Two methods of one stage start from the same encoder: their tables have the method's name.
    table = f"{here}." if stage == "fine_tuning" else f"{here}.{method}_"
    # From scratch there is no frozen representation that the head could start from.
    own = (
        {}
        if method == "from_scratch"
        else {"features": f"representation.{target}.{start}.features"}
    )
    own |= {"lora": "params:text_fine_tuning.adapters"} if method == "lora" else {}
    return Pipeline(
        [
            Node(
                bind(
                    text_nodes.adapt,
                    method=method,
                    change=_CHANGES.get(method),
                    representation=start,
                    target=target,
                ),
                inputs={
                    **{part: f"ingestion.{target}.{part}" for part in ("texts", "splits", "draws")},
                    "model": "pretrained.minilm",
                    "checkpoints": f"{table}checkpoints",
                    "seeds": "params:text_fine_tuning.draws",
                    "parameters": f"params:text_fine_tuning.{method}",
                    "compute": "params:compute",
                    "plan": plan_of(stage, f"text_{method}"),
                    **own,
                },
                outputs=[f"{table}{kind}" for kind in ("scores", "predictions", "history")],
                name=method,
                namespace=here,
            ),
            create_text_check(stage, method, "minilm"),
        ]
    )


def create_rank_pipeline(target: str) -> Pipeline:
    """Adapt the pretrained encoder to a target by LoRA, with several ranks.

    Args:
        target: name of the target.
    """
    here = f"lora.{target}.minilm"
    return Pipeline(
        [
            Node(
                bind(text_nodes.try_ranks, representation="minilm", target=target),
                inputs=[
                    *(f"ingestion.{target}.{part}" for part in ("texts", "splits", "draws")),
                    "pretrained.minilm",
                    f"representation.{target}.minilm.features",
                    f"{here}.rank_checkpoints",
                    "params:text_fine_tuning",
                    "params:compute",
                    plan_of("lora", "text_ranks"),
                ],
                outputs=f"{here}.ranks",
                name="ranks",
                namespace=here,
            ),
            create_text_check("lora", "ranks", "minilm"),
        ]
    )


def create_cost_pipeline(model: str) -> Pipeline:
    """Count and measure what each way of adapting a model costs; that depends on no target.

    Args:
        model: its name.
    """
    here = f"lora.{model}"
    return Pipeline(
        [
            Node(
                bind(text_nodes.count_costs, representation=model),
                inputs=[
                    f"pretrained.{model}",
                    "params:text_fine_tuning.adapters",
                    "params:text_fine_tuning.costs",
                    "params:compute",
                ],
                outputs=f"{here}.costs",
                name="costs",
                namespace=here,
            )
        ]
    )
