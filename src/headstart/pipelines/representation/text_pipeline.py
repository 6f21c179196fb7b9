"""The representation stage of the text track."""

from collections.abc import Callable, Sequence
from typing import Any

from kedro.pipeline import Node, Pipeline

from headstart.pipelines.binding import bind, for_target
from headstart.pipelines.representation import nodes, text_nodes


def create_text_pipeline(target: str, extracted: Sequence[str], mapped: Sequence[str]) -> Pipeline:
    """Extract and map the representations of a target's texts.

    Args:
        target: name of the target.
        extracted: names of the representations.
        mapped: those of them that are drawn as a map.
    """
    texts, rows = f"ingestion.{target}.texts", f"ingestion.{target}.source_rows"
    options = "params:text_representation"
    making: dict[str, tuple[Callable[..., Any], list[str]]] = {
        "tfidf_svd": (text_nodes.extract_tfidf_svd, [texts, rows, options]),
        "glove": (text_nodes.extract_glove, [texts, rows, "pretrained.glove", options]),
        **{
            name: (
                bind(text_nodes.extract_language_model, name=name, target=target),
                [texts, model, options, "params:compute"],
            )
            for name, model in {
                "minilm": "pretrained.minilm",
                "masked_language": f"pretraining.{target}.masked_language.model",
                "next_word": f"pretraining.{target}.next_word.model",
            }.items()
        },
        "minilm_untrained": (
            for_target(text_nodes.extract_minilm_untrained, target),
            [texts, "pretrained.minilm", options, "params:compute"],
        ),
    }
    stage = []
    for name in extracted:
        here = f"representation.{target}.{name}"
        function, made_of = making[name]
        stage.append(
            Node(
                function, inputs=made_of, outputs=f"{here}.features", name="extract", namespace=here
            )
        )
        if name in mapped:
            stage.append(
                Node(
                    nodes.draw_map,
                    inputs=[
                        f"{here}.features",
                        f"ingestion.{target}.splits",
                        "params:representation",
                    ],
                    outputs=f"{here}.map",
                    name="map",
                    namespace=here,
                )
            )
    return Pipeline(stage)
