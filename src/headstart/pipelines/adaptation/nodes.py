"""Nodes of the adaptation stage: learn a task of the user's own, and predict."""

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageChunk, RawImages, decode_images
from headstart.pipelines.adaptation.parameters import TaskAdaptationParameters

logger = logging.getLogger(__name__)


def learn_images(
    learner: Any,
    labeled: RawImages,
    parameters: TaskAdaptationParameters,
    compute: ComputeParameters,
) -> tuple[Any, pd.DataFrame]:
    """Learn the classes of a folder of labeled images.

    Args:
        learner: what was meta-trained
            (`headstart.learning.meta_learning.meta_learner.MetaLearner`).
        labeled: the folder's images; its sub-folders are the classes.
        parameters: steps, reading of batch norm, names for messages.
        compute: threads.

    Returns:
        The adapted meta-learner
        (`headstart.learning.meta_learning.adapted_learner.AdaptedLearner`); and columns path,
        reason, one row for each file that could not be read.

    Raises:
        HeadstartError: there are fewer than two classes, a class without an image that can be
            read, or not as many classes as the meta-learner needs.
    """
    import torch

    from headstart.learning.meta_learning.adapted_learner import learn_task, refuse_other_ways

    _refuse_other_problem(learner, "classification", parameters)
    names = sorted(labeled.frame["label"].dropna().unique())
    if len(names) < 2:
        raise HeadstartError(
            f"{parameters.task}: there is one class only, '{names[0]}', so there is nothing to "
            "tell apart. Give at least two classes, one sub-folder of images each."
        )
    refuse_other_ways(learner, names)
    chunks = list(_decoded(labeled, learner, compute, "read labeled images"))
    rows = pd.concat([chunk.rows for chunk in chunks], ignore_index=True)
    good = rows[rows["reason"].isna()]
    rejected = rows.loc[rows["reason"].notna(), ["path", "reason"]]
    if bare := sorted(set(names) - set(good["label"])):
        first = rejected.iloc[0]
        raise HeadstartError(
            f"{parameters.task}: no image of {', '.join(bare)} can be read ({first['path']}: "
            f"{first['reason']}, for instance). Mend the files, or remove the class's folder."
        )
    x = _inputs(np.concatenate([chunk.images for chunk in chunks]))
    y = torch.from_numpy(np.searchsorted(names, good["label"].to_numpy(dtype=str)))
    adapted = learn_task(
        learner, x, y, classes=names, steps=parameters.steps, reading=parameters.reading
    )
    _log(adapted, parameters, x, y, f"{len(names)} classes and {len(x)} images")
    if len(rejected):
        logger.warning(
            "%s: %d of %d labeled images cannot be read; adaptation.labeled_rejected says why.",
            *(parameters.task, len(rejected), len(rows)),
        )
    return adapted, rejected.reset_index(drop=True)


def predict_images(
    model: Any, images: RawImages, parameters: TaskAdaptationParameters, compute: ComputeParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The most probable class of every image of a folder.

    Args:
        model: the adapted meta-learner.
        images: the folder's images, without labels.
        parameters: named in messages.
        compute: threads.

    Returns:
        Columns path, label, probability, one row an image; and columns path, reason, one row
        for each file that could not be read.

    Raises:
        HeadstartError: no image of the folder can be read.
    """
    from headstart.learning.meta_learning.adapted_learner import predict

    tables, rejected = [], []
    for chunk in _decoded(images, model.learner, compute, "read new images"):
        good = chunk.rows["reason"].isna()
        rejected.append(chunk.rows.loc[~good, ["path", "reason"]])
        if good.any():
            probabilities = predict(model, _inputs(chunk.images)).softmax(1).numpy()
            best = probabilities.argmax(axis=1)
            tables.append(
                pd.DataFrame(
                    {
                        "path": chunk.rows.loc[good, "path"].to_numpy(),
                        "label": np.asarray(model.classes, dtype=object)[best],
                        "probability": probabilities.max(axis=1),
                    }
                )
            )
    if not tables:
        raise HeadstartError(
            f"None of the {len(images.frame)} files in {parameters.images} can be read as an "
            "image; give the folder of your images as adaptation.images."
        )
    return pd.concat(tables, ignore_index=True), pd.concat(rejected, ignore_index=True)


def learn_points(learner: Any, points: pd.DataFrame, parameters: TaskAdaptationParameters) -> Any:
    """Learn a curve from those of its points whose y is known.

    Args:
        learner: what was meta-trained
            (`headstart.learning.meta_learning.meta_learner.MetaLearner`).
        points: columns x and y.
        parameters: steps, names for messages.

    Returns:
        The adapted meta-learner.

    Raises:
        HeadstartError: the meta-learner is of images, or the table will not do.
    """
    from headstart.learning.meta_learning.adapted_learner import learn_task

    _refuse_other_problem(learner, "regression", parameters)
    known, _ = _known_and_asked(points, parameters)
    x, y = _column(known, "x"), _column(known, "y")
    adapted = learn_task(learner, x, y, steps=parameters.steps)
    _log(adapted, parameters, x, y, f"{len(x)} points")
    return adapted


def predict_points(
    model: Any, points: pd.DataFrame, parameters: TaskAdaptationParameters
) -> pd.DataFrame:
    """Predict y where it is not known.

    Args:
        model: the adapted meta-learner.
        points: columns x and y.
        parameters: named in messages.

    Returns:
        Columns x and y, one row for each that had no y.

    Raises:
        HeadstartError: the table will not do.
    """
    from headstart.learning.meta_learning.adapted_learner import predict

    _, asked = _known_and_asked(points, parameters)
    predicted = predict(model, _column(asked, "x"))[:, 0].numpy()
    return pd.DataFrame({"x": asked["x"].to_numpy(), "y": predicted})


def _refuse_other_problem(learner: Any, problem: str, parameters: TaskAdaptationParameters) -> None:
    if learner.problem == problem:
        return
    which = parameters.model or f"{parameters.method} of {parameters.family}"
    other, pipeline = {
        "regression": ("numbers", "regression_adaptation"),
        "classification": ("images", "adaptation"),
    }[learner.problem]
    raise HeadstartError(
        f"What was meta-trained ({which}) learns from {other}: use `kedro run --pipelines "
        f"{pipeline}`, or choose another adaptation.family."
    )


def _decoded(
    raw: RawImages, learner: Any, compute: ComputeParameters, description: str
) -> Iterator[ImageChunk]:
    """Pixels as they were for the meta-training, whatever the new files look like."""
    inputs = learner.inputs
    return decode_images(
        dataclasses.replace(raw, mode="L" if inputs["channels"] == 1 else "RGB"),
        size=inputs["size"],
        resize=inputs["resize"],
        compute=compute,
        description=description,
        invert=inputs["inverted"],
    )


def _inputs(images: np.ndarray) -> Any:
    """Pixels (n, H, W, C) of 0 to 255 as meta-learners take them: (n, C, H, W), 0 to 1."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255


def _known_and_asked(
    points: pd.DataFrame, parameters: TaskAdaptationParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    where = f"The table {parameters.points} (adaptation.points)"
    if not {"x", "y"} <= set(points.columns):
        raise HeadstartError(f"{where} needs the columns x and y; it has {list(points.columns)}.")
    for name in ("x", "y"):
        numbers = pd.to_numeric(points[name], errors="coerce")
        bad = ~np.isfinite(numbers) & (points[name].notna() if name == "y" else True)
        if bad.any():
            raise HeadstartError(
                f"{where}, row {int(bad.to_numpy().argmax()) + 1}: {name} is no finite number "
                f"({points[name][bad].iloc[0]})."
            )
    known = points["y"].notna()
    if not known.any() or known.all():
        raise HeadstartError(
            f"{where} has {int(known.sum())} rows with a y to learn from and "
            f"{int((~known).sum())} without one to predict; it needs some of each."
        )
    return points[known], points[~known]


def _column(points: pd.DataFrame, name: str) -> Any:
    """A column of numbers, shape (n, 1)."""
    import torch

    return torch.tensor(points[[name]].to_numpy(dtype=np.float32))


def _log(
    adapted: Any, parameters: TaskAdaptationParameters, x: Any, y: Any, learned_from: str
) -> None:
    """One line on what was learned and how well it fits what it was learned from."""
    from headstart.learning.meta_learning.adapted_learner import predict

    problem = adapted.learner.build().problem
    fit = problem.score(predict(adapted, x)[None], y[None]).item()
    norm = ""
    if "network.running_mean" in adapted.learner.weights:
        of = "the labeled images" if parameters.reading == "support" else "the meta-training"
        norm = f" Batch norm: statistics of {of} (not transductive)."
    logger.info(
        "%s: %s has learned %s in %d steps; %s on these themselves %.3f.%s",
        *(parameters.task, adapted.learner.method, learned_from, adapted.steps),
        *(problem.metric, fit, norm),
    )
