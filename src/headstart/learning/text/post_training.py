"""Post-training: a causal model learns to answer, from the labeled texts of a source task.

A labeled text becomes a question and its answer A, the label's tokens, by the template that
in-context learning asks with. The loss is the answer's alone (supervised fine-tuning: step 1 of
Ouyang et al. 2022):

    L = - 1 / |A| sum over t in A of log p(x_t | x_<t)

and the mean of that over questions, so that a long answer counts as much as a short one. Whether
such a model answers better on a task that it was not trained on is what Wei et al. (2022,
"Finetuned language models are zero-shot learners") asked; here the target is that task. On held-out
questions of the source, the loss and the accuracy of the most likely label (not calibrated) are
measured before and after.

With adapters (`headstart.learning.text.lora`) W is frozen, and what comes out has W + (alpha / r) B
A in its place: a causal model like the one that went in.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import choose_device
from headstart.learning.text.corpus import split_documents
from headstart.learning.text.in_context import label_log_likelihoods
from headstart.learning.text.language_model import pad, padding_of
from headstart.learning.text.lora import add_lora, merge_lora
from headstart.learning.text.post_training_parameters import PostTrainingParameters
from headstart.learning.text.prompt import Prompt, context_of, write_prompt
from headstart.learning.training import TrainingData, train

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class PostTrained:
    """What post-training gives.

    Attributes:
        network: the causal model, adapters merged; in evaluation mode, on the CPU.
        scores: "held_out_loss_before" and "held_out_loss_after", nats a token of the answer;
            "held_out_accuracy_before" and "held_out_accuracy_after"; "held_out_texts", what these
            are means over; "trainable_parameters"; "seconds", those before interruptions included.
        history: tidy: step, epoch, name ("train_loss", "learning_rate", "held_out_loss",
            "held_out_accuracy"), value.
    """

    network: nn.Module
    scores: dict[str, float]
    history: pd.DataFrame


def post_train(
    network: Any,
    tokenizer: Any,
    texts: Sequence[str],
    labels: np.ndarray,
    *,
    class_names: Sequence[str],
    parameters: PostTrainingParameters,
    compute: ComputeParameters,
    checkpoint: CheckpointFolder | None = None,
    signature: str = "",
) -> PostTrained:
    """Train a causal model to answer questions; the last weights are kept.

    Args:
        network: of the library transformers; stays as it is.
        tokenizer: the network's own, a fast one.
        texts: of the source task, N; those that are empty are left out.
        labels: class of each, integers, shape (N,).
        class_names: of the K classes, in the order of the labels.
        parameters: of the training.
        compute: of the machine.
        checkpoint: where to save the training under way, and to go on from.
        signature: of the network's weights, the tokenizer and the code; what else the training is
            made of is added here.

    Raises:
        HeadstartError: the network has no language-model head; there is no text, or only one; the
            texts have one class; a class has no label to answer with; a question does not fit
            into the network's context without any text; an adapter's target is no layer of the
            network; as `headstart.learning.training.train`.
    """
    started = perf_counter()
    if network.get_output_embeddings() is None:
        raise HeadstartError(
            f"post_training: {type(network).__name__} has no language-model head; load a model "
            "that predicts the next word (causal: true in the catalog)."
        )
    learned, held_out = (
        np.flatnonzero([text in side for text in texts])  # copies of a text stand on one side
        for side in map(set, split_documents(texts, parameters.held_out_share, parameters.seed))
    )
    if len(set(labels[learned].tolist())) < 2:
        raise HeadstartError(
            f"post_training: all texts of {parameters.source} to learn from have one class; there "
            "is no answer to learn. Give a source with at least two classes, or more of its texts."
        )
    prompt = write_prompt(
        tokenizer, [], texts, class_names, parameters.prompt, context=context_of(network)
    )
    device, padding = choose_device(compute), padding_of(tokenizer)
    model = deepcopy(network).requires_grad_(True)
    if parameters.adapters is not None:
        model = add_lora(model, parameters.adapters, parameters.seed)
    examples = [answered(prompt, row, int(label)) for row, label in enumerate(labels)]
    batch_tokens = compute.batch_size * max(len(tokens) for tokens, _ in examples)

    def load(indices: np.ndarray, generator: torch.Generator) -> Batch:
        batch = answer_batch([examples[row] for row in learned[indices]], padding)
        return {name: value.to(generator.device) for name, value in batch.items()}

    def scores_of(model: nn.Module) -> dict[str, float]:
        likelihoods = label_log_likelihoods(
            model,  # type: ignore[arg-type]  # of PEFT, or of transformers
            prompt.prefix(np.arange(0)),
            [prompt.queries[row] for row in held_out],
            prompt.labels,
            batch_tokens=batch_tokens,
        )
        true = labels[held_out]
        lengths = np.array([len(prompt.labels[c]) for c in true])
        losses = -likelihoods[np.arange(len(true)), true] / lengths
        right = likelihoods.argmax(axis=1) == true
        return {"held_out_loss": float(losses.mean()), "held_out_accuracy": float(right.mean())}

    before = scores_of(model.to(device).eval())
    result = train(
        model,
        answer_loss,
        TrainingData(len(learned), load),
        parameters=parameters.training,
        compute=compute,
        seed=parameters.seed,
        evaluate=scores_of,
        checkpoint=checkpoint,
        signature=make_signature(
            *("post_training", parameters, compute.deciding(), list(texts), labels),
            *(list(class_names), signature),
        ),
        description=f"post_training {parameters.source}",
    )
    history = result.history
    after = history.groupby("name")["value"].last()
    scores = {
        **{f"{name}_before": value for name, value in before.items()},
        **{f"{name}_after": float(after[name]) for name in before},
        "held_out_texts": float(len(held_out)),
        "trainable_parameters": float(
            sum(p.numel() for p in model.parameters() if p.requires_grad)
        ),
        "seconds": perf_counter() - started + result.seconds_before,
    }
    if parameters.adapters is not None:
        model = merge_lora(model).requires_grad_(True)
    return PostTrained(model.cpu().eval(), scores, history)


def answered(prompt: Prompt, row: int, label: int) -> tuple[list[int], int]:
    """Tokens of a question with its answer, and how many of them are the answer's.

    Args:
        prompt: with a query for each text.
        row: of the text.
        label: its class.
    """
    answer = prompt.labels[label]
    return [*prompt.prefix(np.arange(0)), *prompt.queries[row], *answer], len(answer)


def answer_batch(examples: Sequence[tuple[list[int], int]], padding: int) -> Batch:
    """Questions with their answers, padded on the right.

    Args:
        examples: tokens of each, and how many at its end are the answer.
        padding: token that fills up; nothing depends on it.

    Returns:
        `ids`, `attention` (1 for tokens and 0 for padding) and `answer` (1 for tokens of an
        answer), all int64, shape (n, L).
    """
    ids, attention = pad([np.array(tokens) for tokens, _ in examples], padding)
    length = attention.sum(dim=1, keepdim=True)
    answer = length - torch.tensor([[count] for _, count in examples])
    place = torch.arange(ids.shape[1])
    return {
        "ids": ids,
        "attention": attention,
        "answer": ((place >= answer) & (place < length)).long(),
    }


def answer_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """L, the mean over questions, nats a token.

    Args:
        model: a causal model.
        batch: of `answer_batch`.
    """
    ids, counted = batch["ids"][:, 1:], batch["answer"][:, 1:].bool()
    # Logits of all places would take more memory than everything else.
    places = counted.any(dim=0).nonzero().squeeze(1)
    logits = model(
        input_ids=batch["ids"][:, :-1],  # the last token is predicted, and never read
        attention_mask=batch["attention"][:, :-1],
        use_cache=False,
        logits_to_keep=places,
    ).logits
    losses = F.cross_entropy(logits.float().transpose(1, 2), ids[:, places], reduction="none")
    counted = counted[:, places]
    # `where` and not a product: what stands elsewhere may be infinite.
    sums = losses.where(counted, 0.0).sum(dim=1)
    return (sums / counted.sum(dim=1)).mean()
