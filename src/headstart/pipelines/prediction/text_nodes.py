"""Nodes of the prediction stage for texts."""

from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.recommendation import recommend
from headstart.learning.splits import classes_and_test, draws_of
from headstart.pipelines.evaluation.parameters import EvaluationParameters
from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters
from headstart.pipelines.prediction.chosen import chosen_settings
from headstart.pipelines.prediction.parameters import PredictionParameters
from headstart.pipelines.probing.parameters import ProbingParameters
from headstart.pipelines.representation.text_parameters import TextRepresentationParameters


def hand_over_text(
    representations: list[str],
    target: str,
    validation: pd.DataFrame,
    board: pd.DataFrame,
    texts: pd.DataFrame,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    evaluation: EvaluationParameters,
    representation: TextRepresentationParameters,
    probing: ProbingParameters,
    fine_tuning: TextFineTuningParameters,
    compute: ComputeParameters,
    *models: Any,
) -> tuple[Any, dict[str, Any]]:
    """Fit the recommended method again, on training and validation texts together.

    Only what is a language model with a head is handed over. Where another method is recommended
    (`tfidf_svd`, `glove`, `in_context`), the best of these is, and the card is about that one.

    Args:
        representations: names of the models below.
        target: name of the target.
        validation: validation scores, with the hyper-parameters that were chosen.
        board: the leaderboard.
        texts: the target's texts.
        splits: its splits.
        draws: its draws; the first seed's is learned from.
        evaluation: the metric that decides.
        representation: how texts are read for the probes.
        probing: parameters of the probes.
        fine_tuning: parameters of the trained methods.
        compute: of the machine.
        models: `headstart.learning.text.language_model.LanguageModel`.

    Returns:
        The fitted model (`headstart.learning.text.fitted_text.FittedText`), with the scores that
        this very model has on the test texts; and target -> what
        `headstart.learning.recommendation.recommend` says of it.
    """
    from headstart.learning import metrics
    from headstart.learning.text.fitted_text import FittedText
    from headstart.learning.text.language_model import untrained
    from headstart.learning.text.refit import refit_text

    starts = dict(zip(representations, models, strict=True))
    candidates = validation[
        (validation["target"] == target)
        & validation["representation"].isin(representations)
        & (validation["method"] != "in_context")
    ]
    answer = recommend(candidates, board, evaluation.metric, evaluation.metric_of)[target]
    draw = next(d for d in draws_of(draws, seeds=1) if d.shots == answer["shots"])
    start = starts[answer["representation"]]
    if answer["representation"] == "minilm_untrained":
        start = untrained(start, representation.encoder.untrained_seed)
    labels, test = classes_and_test(splits, len(texts))
    names = splits.drop_duplicates("class").sort_values("class")["label"].tolist()
    identity = {name: answer[name] for name in ("track", "target", "representation", "method")}
    fit, model, head, adapter, read = refit_text(
        {**identity, "shots": draw.shots, "seed": draw.seed, "episode": None},
        chosen_settings(candidates, answer, draw.seed),
        model=start,
        texts=list(texts["text"]),
        labels=labels,
        train=np.concatenate([draw.train, draw.validation]),
        test=test,
        classes=len(names),
        encoder=representation.encoder.model_dump(include={"most_tokens", "pooling"}),
        batch_tokens=representation.encoder.batch_tokens,
        neighbors=probing.nearest_neighbors.model_dump(include={"temperature", "smoothing"}),
        adaptation=getattr(fine_tuning, answer["method"], None),
        lora=fine_tuning.adapters,
        compute=compute,
    )
    config = {
        **identity,
        "classes": names,
        "text": {**read, "causal": type(model.network).__name__.endswith("ForCausalLM")},
        "chosen": fit.chosen,
        "n_train": fit.n_train,
        "n_test": len(test),
        "test": {name: f(fit.test, labels[test]) for name, f in metrics.CLASSIFICATION.items()},
    }
    return FittedText(config, model, head, adapter), {target: answer}


def predict_texts(
    model: Any, texts: pd.DataFrame, parameters: PredictionParameters, compute: ComputeParameters
) -> pd.DataFrame:
    """The most probable class of every text of a table.

    Args:
        model: the fitted model (`headstart.learning.text.fitted_text.FittedText`).
        texts: columns path and text; texts that are empty are left out.
        parameters: named in messages.
        compute: device and batch size.

    Returns:
        Columns path, text, label, probability, one row a text.

    Raises:
        HeadstartError: there is no text in the table.
    """
    from headstart.learning.text.fitted_text import predict

    good = texts[texts["text"].notna()].reset_index(drop=True)
    if good.empty:
        raise HeadstartError(
            f"There is no text in {parameters.texts}; give a table of texts as prediction.texts."
        )
    probabilities = predict(model, list(good["text"]), compute)
    names = np.asarray(model.config["classes"], dtype=object)
    return good[["path", "text"]].assign(
        label=names[probabilities.argmax(axis=1)], probability=probabilities.max(axis=1)
    )
