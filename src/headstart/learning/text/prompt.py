"""The prompt of a causal language model in tokens: instruction, demonstrations, queries, labels.

All texts are written by one template (`headstart.learning.text.prompt_parameters`). In-context
learning asks with it, and post-training learns to answer by it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headstart.errors import HeadstartError
from headstart.learning.text.prompt_parameters import PromptParameters

Tokens = list[int]


@dataclass(frozen=True)
class Prompt:
    """A prompt in tokens.

    Attributes:
        opening: the tokens that everything begins with: the instruction's, and the start token
            where the network expects one.
        demonstrations: for each, label included, how it begins a prompt, and how it goes on after
            something else, with the separator before it.
        queries: each up to its label, with the separator where something is before it.
        labels: of each class.
        most_tokens: of a text that were kept, at most.
    """

    opening: Tokens
    demonstrations: list[tuple[Tokens, Tokens]]
    queries: list[Tokens]
    labels: list[Tokens]
    most_tokens: int

    def prefix(self, order: np.ndarray) -> Tokens:
        """What is before every query, the demonstrations in this order."""
        prefix = list(self.opening)
        for place, i in enumerate(order):
            prefix += self.demonstrations[i][min(place, 1)]
        return prefix


def write_prompt(
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[tuple[str, int]],
    queries: Sequence[str],
    class_names: Sequence[str],
    parameters: PromptParameters,
    context: int = sys.maxsize,
) -> Prompt:
    """Write the template's texts in tokens, so that each query fits into the network's context.

    Demonstrations and queries are cut into tokens apart from each other and from the labels, so a
    demonstration consists of the very tokens that it would be asked and scored with.

    Args:
        tokenizer: a fast one, which knows where in the text a token ends.
        demonstrations: text and class, the most wanted first: the last are left out where not all
            fit together with the longest query.
        queries: texts; cut further than `most_tokens` where even without a demonstration the
            longest does not fit.
        class_names: of the K classes.
        parameters: template, instruction, separator, verbalizers, most_tokens.
        context: tokens that the network can read.

    Raises:
        HeadstartError: a label has no token, or two have the same, or not even queries with a
            single token of text fit.
    """

    def tokens(text: str) -> Tokens:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def questions(texts: Sequence[str], follows: bool) -> list[Tokens]:
        before = parameters.separator if follows else ""
        return [tokens(before + parameters.question.replace("{text}", text)) for text in texts]

    instructed = bool(parameters.instruction)
    opening = [*_start(tokenizer), *(tokens(parameters.instruction) if instructed else [])]
    labels = [tokens(word) for word in parameters.words(class_names)]
    for name, label in zip(class_names, labels, strict=True):
        if not label or labels.count(label) > 1:
            raise HeadstartError(
                f"The tokenizer has no tokens for the label of the class '{name}', or the same as "
                "for another class's. Give it another word in verbalizers."
            )
    # The last token of a label is predicted, and never read.
    room = context - len(opening) - (max(map(len, labels)) - 1)
    most = min(parameters.most_tokens, context)
    while True:
        shown = _cut(tokenizer, [text for text, _ in demonstrations], most)
        asked = _cut(tokenizer, queries, most)
        pairs = [
            (first + labels[c], later + labels[c])
            for first, later, (_, c) in zip(
                questions(shown, instructed), questions(shown, True), demonstrations, strict=True
            )
        ]
        after = questions(asked, True)
        sizes = np.cumsum([max(map(len, pair)) for pair in pairs])
        fit = int(np.sum(sizes <= room - max(map(len, after), default=0)))
        if fit == 0:
            after = questions(asked, instructed)
        excess = max(map(len, after), default=0) - room
        if excess <= 0:
            return Prompt(opening, pairs[:fit], after, labels, most)
        if most - excess < 1:
            raise HeadstartError(
                f"Without any demonstration a prompt is {excess} tokens too long, with texts of "
                f"up to {most} tokens, an instruction of {len(opening)} and labels of up to "
                f"{max(map(len, labels))}, where the network can read {context}. Shorten the "
                "instruction, the template or the verbalizers."
            )
        most -= excess


def context_of(network: PreTrainedModel) -> int:
    """Tokens that a network can read; some know no bound."""
    bound = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return sys.maxsize if bound is None else int(bound)


def _cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> list[str]:
    """Texts up to the end of their token number `most`."""
    if not texts:
        return []
    # In characters, not in tokens: a cut text is tokenized inside the template, as all are.
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return [
        text if len(ends) <= most else text[: ends[most - 1][1]]
        for text, ends in zip(texts, encoded["offset_mapping"], strict=True)
    ]


def _start(tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The start token, where the tokenizer puts one before a text; nothing else it may add."""
    added = list(tokenizer("")["input_ids"])
    return added[:1] if added[:1] == [tokenizer.bos_token_id] else []
