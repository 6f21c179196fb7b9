"""Nodes of the pretraining stage for texts."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.text.pretraining_parameters import TextPretrainingParameters

TEXT_SCORE_COLUMNS = [
    *("target", "task", "start", "held_out_loss_before", "held_out_loss_after"),
    *("perplexity_before", "perplexity_after", "held_out_tokens", "tokens_seen", "seconds"),
]


def pretrain_language(
    task: str,
    start: str,
    target: str,
    texts: pd.DataFrame,
    rows: pd.DataFrame,
    model: Any,
    checkpoints: Any,
    parameters: TextPretrainingParameters,
    compute: ComputeParameters,
) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Let a pretrained language model read on in a target's texts, without their labels.

    Args:
        task: masked_language or next_word.
        start: name of the model.
        target: name of the target.
        texts: of the target.
        rows: column row: those of them to learn from; no test text is among them.
        model: `headstart.learning.text.language_model.LanguageModel`.
        checkpoints: where the training is kept.
        parameters: of the task.
        compute: of the machine.

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
    facts = {"target": target, "task": task, "start": start}
    scores = pd.DataFrame([{**facts, **result.scores}])[TEXT_SCORE_COLUMNS]
    history = result.history.assign(**facts)
    return LanguageModel(result.network, model.tokenizer), scores, history
