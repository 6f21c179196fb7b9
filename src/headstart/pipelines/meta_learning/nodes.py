"""Nodes of the meta-learning stage: one fit for each number of shots and seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from headstart.experiment.tracks import SINUSOIDS
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageStore
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters
from headstart.pipelines.meta_learning.parameters import (
    ClassesParameters,
    MetaLearningParameters,
)
from headstart.pipelines.representation.parameters import RepresentationParameters

FITTED = ("scores", "curves", "trainings", "history")  # tables of the fits, before the models


def check_families(
    families: list[str], parameters: MetaLearningParameters, *examples: pd.DataFrame
) -> list[dict[str, Any]]:
    """Refuse what no episode can be made of, before anything is meta-trained.

    Args:
        families: their names.
        parameters: of the stage.
        examples: of each family but the sinusoids: columns class and split.

    Returns:
        What the episodes of each family are made of.

    Raises:
        HeadstartError: a part of a family has fewer classes than ways, or a class has fewer
            examples than shots and queries.
    """
    import numpy as np

    from headstart.learning.class_splits import SPLITS
    from headstart.learning.meta_learning.tasks import ClassTasks

    tables = iter(examples)
    facts: list[dict[str, Any]] = []
    for family in families:
        own = parameters.sinusoids
        if family == SINUSOIDS:
            facts.append({"shots": list(own.shots), "queries": own.queries})
            continue
        table, block = next(tables), parameters.classes.for_family(family)
        nothing = np.empty((len(table), 0), dtype=np.float32)
        tasks = ClassTasks.of(family, nothing, np.arange(len(table)), table, block.ways)
        for split in SPLITS:
            queries = block.training_queries if split == "meta_train" else block.queries
            tasks.part(split, max(block.shots), queries)
        facts.append(
            {
                **{"ways": block.ways, "shots": list(block.shots), "queries": block.queries},
                "classes": {split: len(tasks.classes[split]) for split in SPLITS},
            }
        )
    return facts


def fit_classes(
    family: str,
    method: str,
    images: ImageStore,
    examples: pd.DataFrame,
    checked: dict[str, Any],
    plan: pd.DataFrame,
    checkpoints: Any,
    parameters: MetaLearningParameters,
    ingestion: FewShotIngestionParameters,
    compute: ComputeParameters,
) -> tuple[Any, ...]:
    """Meta-train a method on classes, and let it learn new ones.

    Args:
        family: name of the family.
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        images: of the family.
        examples: those of them that can be used: columns row, class and split.
        checked: what the episodes are made of.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).
        checkpoints: where fits are kept.
        parameters: of the stage.
        ingestion: how the images were made, for whoever brings new ones.
        compute: of the machine.

    Returns:
        The tables `FITTED`, and for each number of shots the meta-learner of seed 0.
    """
    from headstart.learning.meta_learning.fit import MetaFitPlan
    from headstart.learning.meta_learning.tasks import ClassTasks

    block = parameters.classes.for_family(family)
    rows = examples["row"].to_numpy()
    fits = MetaFitPlan(
        method=method,
        parameters=getattr(block.methods, method),
        network=block.network,
        tasks=ClassTasks.of(family, images.images, rows, examples, block.ways),
        queries=block.queries,
        training_queries=block.training_queries,
        test=parameters.test(block.episodes_at_once),
        inputs={
            "size": ingestion.image_size,
            "channels": int(images.images.shape[3]),
            **{"gray": ingestion.gray, "resize": ingestion.resize},
            "inverted": family in ingestion.dark_on_light,
        },
        compute=compute,
        checkpoints=checkpoints.at(method),
        made_of=[images.index["digest"].tolist(), rows, *_classes_of(examples)],
    )
    target = f"{family}.{block.ways}_way"
    return _fit(fits, target, "conv4", block.shots, block.seeds, compute)


def fit_centroids(
    family: str,
    features: Any,
    examples: pd.DataFrame,
    checked: dict[str, Any],
    parameters: MetaLearningParameters,
    compute: ComputeParameters,
) -> tuple[Any, ...]:
    """`nearest_centroid` on the features of a frozen encoder.

    Args:
        family: name of the family.
        features: of the examples that are not meta-train (`extract_features`).
        examples: of the family: columns class and split.
        checked: what the episodes are made of.
        parameters: of the stage.
        compute: of the machine.

    Returns:
        The tables `FITTED`. Nothing is drawn at random, so one seed is all.
    """
    import numpy as np

    from headstart.learning.meta_learning.fit import MetaFitPlan
    from headstart.learning.meta_learning.tasks import ClassTasks

    block = parameters.classes.for_family(family)
    held_out = examples[examples["split"] != "meta_train"]
    rows = np.arange(len(held_out))
    plan = MetaFitPlan(
        method="nearest_centroid",
        parameters=block.methods.nearest_centroid,
        network=None,
        tasks=ClassTasks.of(family, features.values, rows, held_out, block.ways),
        queries=block.queries,
        training_queries=block.training_queries,
        test=parameters.test(block.episodes_at_once),
        inputs={},
        compute=compute,
        frozen_parameters=features.encoder_parameters,
    )
    target = f"{family}.{block.ways}_way"
    return _fit(plan, target, features.name, block.shots, 1, compute)


def fit_sinusoids(
    method: str,
    checked: dict[str, Any],
    plan: pd.DataFrame,
    checkpoints: Any,
    parameters: MetaLearningParameters,
    compute: ComputeParameters,
) -> tuple[Any, ...]:
    """Meta-train a method on sinusoids, and let it learn new ones.

    Args:
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        checked: what the episodes are made of.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).
        checkpoints: where fits are kept.
        parameters: of the stage.
        compute: of the machine.

    Returns:
        As `fit_classes`.
    """
    from headstart.learning.meta_learning.fit import MetaFitPlan
    from headstart.learning.meta_learning.tasks import SinusoidTasks

    block = parameters.sinusoids
    fits = MetaFitPlan(
        method=method,
        parameters=getattr(block.methods, method),
        network=block.network,
        tasks=SinusoidTasks(block.amplitude, block.phase, block.x),
        queries=block.queries,
        training_queries=block.training_queries,
        test=parameters.test(block.episodes_at_once, block.diverged),
        inputs={},
        compute=compute,
        checkpoints=checkpoints.at(method),
        made_of=[block.amplitude, block.phase, block.x],
    )
    return _fit(fits, SINUSOIDS, "dense", block.shots, block.seeds, compute)


def encode_pixels(ingestion: FewShotIngestionParameters) -> Any:
    """The encoder `pixels`, at the size that the images are stored in."""
    from headstart.learning.encoders import pixels_encoder

    return pixels_encoder(ingestion.image_size)


def encode_imagenet(
    family: str,
    state_dict: dict[str, Any],
    parameters: MetaLearningParameters,
    representation: RepresentationParameters,
) -> Any:
    """The encoder `imagenet`, at the size that the family wants."""
    from headstart.learning.encoders import imagenet_network

    block: ClassesParameters = parameters.classes.for_family(family)
    return imagenet_network(
        state_dict, block.encoder_size, architecture=representation.imagenet.architecture
    )


def extract_features(
    images: ImageStore, examples: pd.DataFrame, encoder: Any, compute: ComputeParameters
) -> Any:
    """The representation of the images that are not meta-train, in the order of the examples.

    Args:
        images: of the family.
        examples: columns row and split.
        encoder: `headstart.learning.encoders.Encoder`.
        compute: device, batch size, progress bar.

    Returns:
        `headstart.learning.encoders.Features`.
    """
    from headstart.learning.encoders import Features, extract

    rows = examples.loc[examples["split"] != "meta_train", "row"].to_numpy()
    values = extract(encoder, images.images[rows], compute, description=f"extract {encoder.name}")
    return Features(encoder.name, values, encoder.parameters)


def draw_sinusoids(parameters: MetaLearningParameters) -> pd.DataFrame:
    """Some meta-test sinusoids, and the points that they are learned from."""
    from headstart.learning.meta_learning.sinusoid_examples import curves_and_points
    from headstart.learning.meta_learning.tasks import SinusoidTasks

    block = parameters.sinusoids
    tasks = SinusoidTasks(block.amplitude, block.phase, block.x)
    pictures = {"episodes": block.pictures.episodes, "points": block.pictures.points}
    return pd.concat(
        [
            curves_and_points(
                tasks.part("meta_test", k, block.queries), seed=parameters.seed, **pictures
            )
            for k in block.shots
        ],
        ignore_index=True,
    )


def predict_sinusoids(
    method: str, parameters: MetaLearningParameters, *learners: Any
) -> pd.DataFrame:
    """What a method predicts of these sinusoids.

    Args:
        method: its name.
        parameters: of the stage.
        learners: `headstart.learning.meta_learning.meta_learner.MetaLearner`, one for each number
            of shots.
    """
    from headstart.learning.meta_learning.sinusoid_examples import predictions
    from headstart.learning.meta_learning.tasks import SinusoidTasks

    block = parameters.sinusoids
    tasks = SinusoidTasks(block.amplitude, block.phase, block.x)
    return pd.concat(
        [
            predictions(
                method,
                learner.build(),
                tasks.part("meta_test", k, block.queries),
                seed=parameters.seed,
                most_steps=getattr(block.methods, method).test_steps,
                **block.pictures.model_dump(),
            )
            for k, learner in zip(block.shots, learners, strict=True)
        ],
        ignore_index=True,
    )


def _fit(
    plan: Any,
    target: str,
    representation: str,
    shots: Sequence[int],
    seeds: int,
    compute: ComputeParameters,
) -> tuple[Any, ...]:
    """All fits of a plan, as the tables `FITTED` and the meta-learners of seed 0."""
    from headstart.fingerprint import code_fingerprint
    from headstart.learning.meta_learning.fit import MetaJob, run_meta_job
    from headstart.learning.meta_learning.tables import (
        course,
        episode_scores,
        identity_of,
        score_curves,
        training_row,
    )
    from headstart.learning.parallel_fits import run_fits

    plan = replace(
        plan,
        compute=compute.model_copy(update={"progress": False}),
        made_of=[code_fingerprint(run_meta_job), *plan.made_of],
    )
    # More shots take longer: these first, so that workers end together.
    jobs = [MetaJob(k, seed) for k in sorted(shots, reverse=True) for seed in range(seeds)]
    description = f"{plan.method} {target}"
    fits = list(run_fits(run_meta_job, plan, jobs, compute=compute, description=description))
    parts = []
    for fit in fits:
        identity = identity_of(fit, target, representation, plan.method)
        parts.append(
            (
                episode_scores(fit, plan, identity),
                score_curves(fit, identity),
                training_row(fit, plan, identity),
                course(fit, identity),
            )
        )
    tables = [pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)]
    learners = {fit.job.shots: fit.learner for fit in fits if fit.job.seed == 0}
    return (*tables, *(learners[k] for k in shots if learners[k] is not None))


def _classes_of(examples: pd.DataFrame) -> list[Any]:
    """What stands in the signature of a fit."""
    return [examples["class"].to_numpy(), examples["split"].tolist()]
