"""Nodes of the pretraining stage for texts."""

from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.text.post_training_parameters import PostTrainingParameters
from headstart.learning.text.pretraining_parameters import TextPretrainingParameters

# What a task does not measure is empty.
TEXT_SCORE_COLUMNS = [
    *("source", "task", "start", "held_out_loss_before", "held_out_loss_after"),
    *("perplexity_before", "perplexity_after", "held_out_tokens", "tokens_seen", "seconds"),
    *("held_out_accuracy_before", "held_out_accuracy_after", "held_out_texts"),
    "trainable_parameters",
]


def pretrain_language(
    task: str,
    start: str,
    source: str,
    texts: pd.DataFrame,
    rows: pd.DataFrame,
    model: Any,
    checkpoints: Any,
    parameters: TextPretrainingParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Let a pretrained language model read on in a target's texts, without their labels.

    Args:
        task: masked_language or next_word.
        start: name of the model.
        source: name of the target, whose own texts are the source.
        texts: of the target.
        rows: column row: those of them to learn from; no test text is among them.
        model: `headstart.learning.text.language_model.LanguageModel`.
        checkpoints: where the training is kept.
        parameters: of the task.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        The model afterwards; perplexity of held-out texts before and after, and what it cost
        (columns `TEXT_SCORE_COLUMNS`, one row); and the history.
    """
    from headstart.fingerprint import code_fingerprint, value_fingerprint
    from headstart.learning.text.language_model import LanguageModel, fingerprint
    from headstart.learning.text.pretrain import pretrain_text

    result = pretrain_text(
        task,  # type: ignore[arg-type]
        model.network,
        model.tokenizer,
        list(texts["text"].iloc[rows["row"]]),
        parameters=parameters,
        compute=compute,
        checkpoint=checkpoints,
        signature=value_fingerprint([code_fingerprint(pretrain_text), fingerprint(model)]),
    )
    facts = {"source": source, "task": task, "start": start}
    history = result.history.assign(**facts)
    return LanguageModel(result.network, model.tokenizer), _scores(facts, result.scores), history


def post_train_language(
    start: str,
    source: str,
    texts: pd.DataFrame,
    rows: pd.DataFrame,
    model: Any,
    checkpoints: Any,
    parameters: PostTrainingParameters,
    compute: ComputeParameters,
    plan: pd.DataFrame,
) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Teach a pretrained causal model to answer, by the labeled texts of a source task.

    Args:
        start: name of the model.
        source: name of the source task.
        texts: of the source.
        rows: column row: those of them to learn from; no text of a target is among them.
        model: `headstart.learning.text.language_model.LanguageModel`, a causal one.
        checkpoints: where the training is kept.
        parameters: of post-training.
        compute: of the machine.
        plan: what a step was predicted to take, which fits (`headstart.pipelines.checking`).

    Returns:
        The model afterwards; loss and accuracy on held-out texts of the source before and after,
        and what it cost (columns `TEXT_SCORE_COLUMNS`, one row); and the history.
    """
    from headstart.fingerprint import code_fingerprint, value_fingerprint
    from headstart.learning.text.language_model import LanguageModel, fingerprint
    from headstart.learning.text.post_training import post_train

    own = texts.iloc[rows["row"]]
    names, classes = np.unique(own["label"].to_numpy(dtype=object), return_inverse=True)
    result = post_train(
        model.network,
        model.tokenizer,
        list(own["text"]),
        classes,
        class_names=[str(name) for name in names],
        parameters=parameters,
        compute=compute,
        checkpoint=checkpoints,
        signature=value_fingerprint([code_fingerprint(post_train), fingerprint(model)]),
    )
    facts = {"source": source, "task": "post_training", "start": start}
    history = result.history.assign(**facts)
    return LanguageModel(result.network, model.tokenizer), _scores(facts, result.scores), history


def _scores(facts: dict[str, str], scores: dict[str, float]) -> pd.DataFrame:
    """One row with the columns of all tasks, whatever the task measures."""
    measured = dict.fromkeys(TEXT_SCORE_COLUMNS[len(facts) :], np.nan) | scores
    return pd.DataFrame([{**facts, **measured}])[TEXT_SCORE_COLUMNS]
