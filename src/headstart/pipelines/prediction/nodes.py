"""Nodes of the prediction stage: hand over the recommended model, and use it on new images."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.images import ImageStore, RawImages, decode_images
from headstart.learning.splits import classes_and_test, draws_of
from headstart.pipelines.evaluation.parameters import EvaluationParameters
from headstart.pipelines.fine_tuning.parameters import FineTuningParameters
from headstart.pipelines.ingestion.parameters import IngestionParameters
from headstart.pipelines.prediction.chosen import chosen_settings
from headstart.pipelines.prediction.parameters import PredictionParameters
from headstart.pipelines.probing.parameters import ProbingParameters

# track -> pipeline that predicts, and what it is given
_COMMANDS = {
    "text": ("text_prediction", "texts=TABLE.csv"),
    "tables": ("table_prediction", "rows=TABLE.csv"),
}


def hand_over(
    target: str,
    recommendations: dict[str, Any],
    validation: pd.DataFrame,
    images: ImageStore,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    ingestion: IngestionParameters,
    probing: ProbingParameters,
    fine_tuning: FineTuningParameters,
    compute: ComputeParameters,
    *encoders: Any,
) -> Any:
    """Fit the recommended method again, on training and validation images together.

    Args:
        target: name of the target.
        recommendations: target -> the recommended method.
        validation: validation scores, with the hyper-parameters that were chosen.
        images: the target's images.
        splits: its splits.
        draws: its draws; the first seed's is learned from.
        ingestion: how its images were decoded.
        probing: parameters of the probes.
        fine_tuning: parameters of the trained methods.
        compute: of the machine.
        encoders: of all representations that may be recommended.

    Returns:
        The fitted model (`headstart.learning.fitted_model.FittedModel`), with the scores that
        this very model has on the test images.
    """
    from headstart.learning import metrics
    from headstart.learning.fitted_model import FittedModel
    from headstart.learning.refit import refit

    answer = recommendations[target]
    encoder = next(e for e in encoders if e.name == answer["representation"])
    draw = next(d for d in draws_of(draws, seeds=1) if d.shots == answer["shots"])
    labels, test = classes_and_test(splits, len(images.images))
    names = splits.drop_duplicates("class").sort_values("class")["label"].tolist()
    train = np.concatenate([draw.train, draw.validation])
    identity = {name: answer[name] for name in ("track", "target", "representation", "method")}
    fit, trained, head = refit(
        {**identity, "shots": draw.shots, "seed": draw.seed, "episode": None},
        chosen_settings(validation, answer, draw.seed),
        encoder=encoder,
        images=images.images,
        labels=labels,
        train=train,
        test=test,
        classes=len(names),
        neighbors=probing.nearest_neighbors.model_dump(include={"temperature", "smoothing"}),
        adaptation=fine_tuning.from_scratch
        if answer["method"] == "from_scratch"
        else fine_tuning.fine_tune,
        compute=compute,
    )
    config = {
        **identity,
        "classes": names,
        "image": {
            "size": int(images.images.shape[1]),
            "mode": "L" if images.images.shape[3] == 1 else "RGB",
            "resize": ingestion.resize,
        },
        "chosen": fit.chosen,
        "n_train": fit.n_train,
        "n_test": len(test),
        "test": {name: f(fit.test, labels[test]) for name, f in metrics.CLASSIFICATION.items()},
    }
    return FittedModel(config=config, encoder=trained, head=head)


def write_model_card(
    target: str,
    model: Any,
    recommendations: dict[str, Any],
    board: pd.DataFrame,
    predictions: pd.DataFrame,
    summary: dict[str, Any],
    evaluation: EvaluationParameters,
    configuration: dict[str, Any],
) -> str:
    """The card that goes with the model, in Markdown.

    Args:
        target: name of the target.
        model: the fitted model.
        recommendations: target -> the recommended method.
        board: the leaderboard.
        predictions: test predictions of all methods.
        summary: counts of the target's images.
        evaluation: coverage of the intervals.
        configuration: all parameters of the run.
    """
    from headstart.pipelines.evaluation.environment import describe_environment
    from headstart.pipelines.evaluation.model_card import (
        per_class_scores,
        per_task_scores,
        render_model_card,
    )

    config, answer = model.config, recommendations[target]
    track = config["track"]
    pipeline, given = _COMMANDS.get(track, ("prediction", "images=FOLDER"))
    tables = track == "tables"
    return render_model_card(
        answer,
        board,
        summary,
        describe_environment(configuration),
        command=f"kedro run --pipelines {pipeline} --params "
        f"prediction.target={target},prediction.{given}",
        model=config,
        per_class=None if tables else per_class_scores(predictions, answer, config["classes"]),
        per_task=per_task_scores(board, answer, config["test_of_tasks"]) if tables else None,
        license_note=evaluation.licenses.get(target),
        confidence=evaluation.confidence,
    )


def predict_images(
    model: object,
    images: RawImages,
    parameters: PredictionParameters,
    compute: ComputeParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The most probable class of every image of a folder.

    Args:
        model: the fitted model (`headstart.learning.fitted_model.FittedModel`).
        images: the folder's images, without labels.
        parameters: named in messages.
        compute: device, batch size, threads.

    Returns:
        Columns path, label, probability, one row an image; and columns path, reason, one row
        for each file that could not be read.

    Raises:
        HeadstartError: no image of the folder can be read.
    """
    from headstart.learning.fitted_model import FittedModel, predict

    assert isinstance(model, FittedModel)
    image = model.config["image"]
    # Pixels are read as they were for the training, whatever the new files look like.
    chunks = decode_images(
        dataclasses.replace(images, mode=image["mode"]),
        size=image["size"],
        resize=image["resize"],
        compute=compute,
        description="read new images",
    )
    quiet = compute.model_copy(update={"progress": False})
    tables, rejected = [], []
    for chunk in chunks:
        good = chunk.rows["reason"].isna()
        rejected.append(chunk.rows.loc[~good, ["path", "reason"]])
        if good.any():
            probabilities = predict(model, chunk.images, quiet)
            best = probabilities.argmax(axis=1)
            tables.append(
                pd.DataFrame(
                    {
                        "path": chunk.rows.loc[good, "path"].to_numpy(),
                        "label": np.asarray(model.config["classes"], dtype=object)[best],
                        "probability": probabilities.max(axis=1),
                    }
                )
            )
    if not tables:
        raise HeadstartError(
            f"None of the {len(images.frame)} files in {parameters.images} can be read as an "
            "image; give the folder of your images as prediction.images."
        )
    return pd.concat(tables, ignore_index=True), pd.concat(rejected, ignore_index=True)
