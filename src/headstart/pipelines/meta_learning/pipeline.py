"""The meta-learning stage of the few_shot track."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from headstart.experiment.tracks import SINUSOIDS
from headstart.pipelines.binding import bind
from headstart.pipelines.meta_learning import nodes
from headstart.pipelines.meta_learning.checks import create_check, plan_name


def create_check_pipeline(families: Sequence[str]) -> Pipeline:
    """Refuse what no episode can be made of; all fits wait for it.

    Args:
        families: names of all families of tasks; without any there is no node.
    """
    images = [family for family in families if family != SINUSOIDS]
    check = Node(
        bind(nodes.check_families, families=list(families)),
        inputs=["params:meta_learning", *(f"ingestion.{f}.examples" for f in images)],
        outputs=[f"meta_learning.{family}.episodes" for family in families],
        name="check_families",
        namespace="meta_learning",
    )
    return Pipeline([check] if families else [])


def create_classes_pipeline(
    family: str, methods: Sequence[str], representations: Sequence[str], shots: Sequence[int]
) -> Pipeline:
    """Meta-train on images of many classes.

    Args:
        family: name of the family.
        methods: keys of `headstart.learning.meta_learning.registry.METHODS`.
        representations: what `nearest_centroid` starts from.
        shots: numbers of examples of a class.
    """
    here = f"meta_learning.{family}"
    images, examples = f"ingestion.{family}.images", f"ingestion.{family}.examples"
    checked = f"{here}.episodes"
    encoders = {
        "pixels": (nodes.encode_pixels, ["params:few_shot_ingestion"]),
        "imagenet": (
            bind(nodes.encode_imagenet, family=family),
            ["pretrained.imagenet", "params:meta_learning", "params:representation"],
        ),
    }
    stage = []
    for method in methods:
        if method == "nearest_centroid":
            continue
        stage.append(create_check(family, method))
        stage.append(
            Node(
                bind(nodes.fit_classes, family=family, method=method),
                inputs=[
                    images,
                    examples,
                    checked,
                    plan_name(family, method),
                    f"{here}.checkpoints",
                    "params:meta_learning",
                    "params:few_shot_ingestion",
                    "params:compute",
                ],
                outputs=fitted(family, method) + models(family, method, shots),
                name="fit",
                namespace=f"{here}.{method}",
            )
        )
    for name in representations if "nearest_centroid" in methods else []:
        function, inputs = encoders[name]
        namespace = f"{here}.nearest_centroid_{name}"
        stage += [
            Node(
                function,
                inputs=inputs,
                outputs=f"{here}.{name}.encoder",
                name="encoder",
                namespace=namespace,
            ),
            Node(
                nodes.extract_features,
                inputs=[images, examples, f"{here}.{name}.encoder", "params:compute"],
                outputs=f"{here}.{name}.features",
                name="extract",
                namespace=namespace,
            ),
            Node(
                bind(nodes.fit_centroids, family=family),
                inputs=[
                    f"{here}.{name}.features",
                    examples,
                    checked,
                    "params:meta_learning",
                    "params:compute",
                ],
                outputs=fitted(family, f"nearest_centroid_{name}"),
                name="fit",
                namespace=namespace,
            ),
        ]
    return Pipeline(stage)


def create_sinusoids_pipeline(methods: Sequence[str], shots: Sequence[int]) -> Pipeline:
    """Meta-train on sinusoids.

    Args:
        methods: keys of `headstart.learning.meta_learning.registry.METHODS`.
        shots: numbers of points.
    """
    here = f"meta_learning.{SINUSOIDS}"
    stage = [
        Node(
            nodes.draw_sinusoids,
            inputs="params:meta_learning",
            outputs=f"{here}.curves_and_points.examples",
            name="draw",
            namespace=here,
        )
    ]
    for method in methods:
        stage += [
            create_check(SINUSOIDS, method),
            Node(
                bind(nodes.fit_sinusoids, method=method),
                inputs=[
                    f"{here}.episodes",
                    plan_name(SINUSOIDS, method),
                    f"{here}.checkpoints",
                    "params:meta_learning",
                    "params:compute",
                ],
                outputs=fitted(SINUSOIDS, method) + models(SINUSOIDS, method, shots),
                name="fit",
                namespace=f"{here}.{method}",
            ),
            Node(
                bind(nodes.predict_sinusoids, method=method),
                inputs=["params:meta_learning", *models(SINUSOIDS, method, shots)],
                outputs=f"{here}.{method}.examples",
                name="predict",
                namespace=f"{here}.{method}",
            ),
        ]
    return Pipeline(stage)


def fitted(family: str, name: str) -> list[str]:
    """Catalog names of the tables of a method's fits."""
    return [f"meta_learning.{family}.{name}.{table}" for table in nodes.FITTED]


def models(family: str, method: str, shots: Sequence[int]) -> list[str]:
    """Catalog names of what a method hands over."""
    return [f"meta_learning.{family}.{method}_{k}_shot.model" for k in shots]
