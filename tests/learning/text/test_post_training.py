"""Post-training: the loss by hand, what learns and what does not, interruptions, wrong input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.text import post_training
from headstart.learning.text.corpus import split_documents
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.post_training import (
    PostTrained,
    answer_batch,
    answer_loss,
    answered,
    post_train,
)
from headstart.learning.text.post_training_parameters import PostTrainingParameters
from headstart.learning.text.prompt import Prompt, write_prompt

COMPUTE = ComputeParameters(device="cpu", progress=False)
NAMES = ["quick", "slow"]
PROMPT = {"template": "{text} is {label}", "verbalizers": {"quick": "very fast", "slow": "slow"}}
ADAPTERS = {"rank": 4, "alpha": 8, "targets": "all-linear"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(Exception):
    pass


def toys(number: int = 60, longest: int = 5) -> tuple[list[str], np.ndarray]:
    """What is red is quick and what is blue is slow, whatever else is said of it."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 2
    others = ["the", "a", "car", "boat", "train", "old", "new", "and", "quite", "green"]
    texts = []
    for label in labels:
        words = [*rng.choice(others, rng.integers(3, longest + 1)), ["red", "blue"][label]]
        texts.append(" ".join(rng.permutation(words)))
    return texts, labels


def parameters(**changed: Any) -> PostTrainingParameters:
    training = {"steps": 120, "epochs": 100, "batch_size": 8, "learning_rate": 1e-2}
    training |= changed.pop("training", {})
    options = {"adapters": ADAPTERS, "held_out_share": 0.2, "source": "toys", "prompt": PROMPT}
    return PostTrainingParameters.model_validate({"training": training, **options, **changed})


def taught(model: LanguageModel, **changed: Any) -> PostTrained:
    texts, labels = toys()
    options: dict[str, Any] = {"texts": texts, "labels": labels, "class_names": NAMES}
    options |= {"parameters": parameters(), "compute": COMPUTE, **changed}
    return post_train(model.network, model.tokenizer, **options)


def prompt_of(model: LanguageModel, texts: list[str]) -> Prompt:
    return write_prompt(model.tokenizer, [], texts, NAMES, parameters().prompt)


def by_hand(network: Any, question: list[int], answer: list[int]) -> float:
    """-1 / |A| sum of log p over the answer: one whole forward, no batch, no padding."""
    with torch.no_grad():
        logits = network(torch.tensor([question + answer])).logits[0].double()
    total = 0.0
    for t, token in enumerate(answer):
        at = logits[len(question) + t - 1]
        total += float(at.logsumexp(0) - at[token])
    return total / len(answer)


def batch_of(model: LanguageModel, texts: list[str], labels: Any, padding: int = 0) -> Any:
    prompt = prompt_of(model, texts)
    return answer_batch([answered(prompt, i, int(c)) for i, c in enumerate(labels)], padding)


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([t.detach().flatten().double() for t in network.state_dict().values()])


def test_the_loss_is_that_of_the_answers_tokens_by_hand(tiny_llama: LanguageModel) -> None:
    texts, labels = toys(7)
    prompt = prompt_of(tiny_llama, texts)
    assert [len(label) for label in prompt.labels] == [2, 1]  # "very fast" and "slow"
    losses = [
        by_hand(tiny_llama.network, prompt.queries[i], prompt.labels[c])
        for i, c in enumerate(labels)
    ]
    with torch.no_grad():
        loss = answer_loss(tiny_llama.network, batch_of(tiny_llama, texts, labels))
    # A mean over questions of means over tokens: a long answer counts no more than a short one.
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)


class Table(nn.Module):
    """A causal model whose logits are its weights, whatever it reads."""

    def __init__(self, rows: int, places: int, words: int):
        super().__init__()
        torch.manual_seed(0)
        self.logits = nn.Parameter(torch.randn(rows, places, words))

    def forward(self, input_ids: Any, logits_to_keep: Any, **_: Any) -> Any:
        assert input_ids.shape == self.logits.shape[:2]
        return SimpleNamespace(logits=self.logits[:, logits_to_keep])


def test_only_answers_get_a_gradient(tiny_llama: LanguageModel) -> None:
    texts, labels = toys(5, longest=9)
    batch = batch_of(tiny_llama, texts, labels)
    rows, length = batch["ids"].shape
    table = Table(rows, length - 1, 22)
    answer_loss(table, batch).backward()
    learned = table.logits.grad.abs().sum(dim=2) > 0
    for row, label in enumerate(labels):
        last = int(batch["attention"][row].sum()) - 1
        predicting = {last - 1} if label else {last - 2, last - 1}  # each says what comes next
        assert set(learned[row].nonzero().squeeze(1).tolist()) == predicting
    # What stands elsewhere may be anything, even infinite.
    with torch.no_grad():
        expected = answer_loss(table, batch)
        table.logits[~learned] = torch.inf
        assert answer_loss(table, batch) == expected


def test_nothing_depends_on_the_padding(tiny_llama: LanguageModel) -> None:
    texts, labels = toys(6, longest=12)
    assert len({len(text.split()) for text in texts}) > 2
    gradients, losses = [], []
    for padding in (0, 9):
        tiny_llama.network.zero_grad()
        loss = answer_loss(tiny_llama.network, batch_of(tiny_llama, texts, labels, padding))
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in tiny_llama.network.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    # Nor on the others of a batch: cut into parts, it has the weighted mean of their losses.
    with torch.no_grad():
        whole = batch_of(tiny_llama, texts, labels)
        parts = [
            len(rows) * answer_loss(tiny_llama.network, {k: v[rows] for k, v in whole.items()})
            for rows in ([0], [1, 2], [3, 4, 5])
        ]
    assert float(sum(parts)) / 6 == pytest.approx(losses[0], rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 9), min_size=1), st.lists(st.integers(1, 9), min_size=1)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 9),
)
def test_a_batch_marks_exactly_the_answers(examples: Any, padding: int) -> None:
    batch = answer_batch(
        [(question + answer, len(answer)) for question, answer in examples], padding
    )
    for row, (question, answer) in enumerate(examples):
        assert batch["ids"][row][batch["answer"][row].bool()].tolist() == answer
        seen = batch["ids"][row][batch["attention"][row].bool()].tolist()
        assert seen == question + answer


@pytest.mark.parametrize("adapters", [ADAPTERS, None])
def test_a_toy_task_is_learned_and_the_given_model_left_alone(
    tiny_llama: LanguageModel, adapters: Any
) -> None:
    with torch.no_grad():  # else no adapter could make one logit stand out
        tiny_llama.network.lm_head.weight.mul_(30)
    before = weights(tiny_llama.network)
    found = taught(tiny_llama, parameters=parameters(adapters=adapters))
    scores = found.scores
    assert scores["held_out_loss_before"] > 2  # untrained, every token is about as likely
    assert scores["held_out_loss_after"] < 0.3
    assert scores["held_out_accuracy_before"] < 0.8
    assert scores["held_out_accuracy_after"] > 0.9
    assert torch.equal(weights(tiny_llama.network), before)
    # A plain model comes out, with the very scores on the held-out texts, adapters merged or not.
    assert type(found.network) is type(tiny_llama.network)
    assert found.network.state_dict().keys() == tiny_llama.network.state_dict().keys()
    texts, labels = toys()
    label_of = dict(zip(texts, labels, strict=True))
    held_out = split_documents(texts, 0.2, 0)[1]
    prompt = prompt_of(tiny_llama, held_out)
    losses = np.array(
        [
            [by_hand(found.network, query, label) for label in prompt.labels]
            for query in prompt.queries
        ]
    )
    true = np.array([label_of[text] for text in held_out])
    assert scores["held_out_texts"] == len(true)
    own = losses[np.arange(len(true)), true]
    assert scores["held_out_loss_after"] == pytest.approx(own.mean(), abs=1e-4)
    likely = (losses * [-2, -1]).argmax(axis=1)  # of the whole answer, not of its mean token
    assert scores["held_out_accuracy_after"] == pytest.approx((likely == true).mean())
    names = found.history["name"].value_counts()
    assert names["held_out_loss"] == names["held_out_accuracy"] == 10


def test_with_adapters_few_weights_are_trained(tiny_llama: LanguageModel) -> None:
    short = {"steps": 1}
    few = taught(
        tiny_llama,
        parameters=parameters(
            training=short, adapters={"rank": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}
        ),
    )
    # (d + k) r: two layers, 32 x 32 for queries, 16 x 32 for values (two heads are shared).
    assert few.scores["trainable_parameters"] == 2 * 2 * (64 + 48)
    changed = {
        name
        for name, tensor in few.network.state_dict().items()
        if not torch.equal(tensor, tiny_llama.network.state_dict()[name])
    }
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj"}
    everything = taught(tiny_llama, parameters=parameters(training=short, adapters=None))
    assert everything.scores["trainable_parameters"] == tiny_llama.parameters


@pytest.mark.parametrize("adapters", [{**ADAPTERS, "dropout": 0.1}, None])
def test_killed_and_resumed_ends_with_the_same_bits(
    tiny_llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapters: Any
) -> None:
    options: dict[str, Any] = {
        "parameters": parameters(training={"steps": 20, "evaluations": 4}, adapters=adapters),
        "compute": COMPUTE.model_copy(update={"checkpoint_seconds": 0.0}),
        "signature": "weights",
    }
    whole = taught(tiny_llama, **options)
    steps, kill_at = [0], 12

    def mortal(model: nn.Module, batch: Any) -> torch.Tensor:
        steps[0] += 1
        if steps[0] == kill_at:
            raise Killed
        return answer_loss(model, batch)

    monkeypatch.setattr(post_training, "answer_loss", mortal)
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(Killed):
        taught(tiny_llama, checkpoint=folder, **options)
    resumed = taught(tiny_llama, checkpoint=folder, **options)
    assert steps[0] == 12 + 20 - 11  # eleven steps were not done again
    assert torch.equal(weights(resumed.network), weights(whole.network))
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    assert {k: v for k, v in resumed.scores.items() if k != "seconds"} == {
        k: v for k, v in whole.scores.items() if k != "seconds"
    }
    # Other labels, another model: begun anew.
    steps[0] = kill_at
    taught(tiny_llama, checkpoint=folder, **options, labels=1 - toys()[1])
    assert steps[0] == kill_at + 20
    taught(tiny_llama, checkpoint=folder, **{**options, "signature": "other weights"})
    assert steps[0] == kill_at + 40


def test_long_texts_are_cut_and_answers_are_not(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = toys(12)
    long = [text + " and quite old" * 40 for text in texts]
    prompt = {**PROMPT, "most_tokens": 1000}
    seen = []

    def watched(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(batch)
        return answer_loss(model, batch)

    monkeypatch.setattr(post_training, "answer_loss", watched)
    found = taught(
        tiny_llama,
        texts=long,
        labels=labels,
        parameters=parameters(training={"steps": 3}, prompt=prompt),
    )
    assert np.isfinite(found.scores["held_out_loss_after"])
    answers = prompt_of(tiny_llama, texts).labels
    for batch in seen:
        # 64 can be read, and the token after these be predicted.
        assert 60 < batch["ids"].shape[1] <= 65
        for row, answer in zip(batch["ids"], batch["answer"], strict=True):
            assert row[answer.bool()].tolist() in answers


def test_copies_of_a_text_and_texts_without_any_are_no_held_out_texts_learned_from(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = toys(20)
    seen = []

    def watched(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.extend(batch["ids"].tolist())
        return answer_loss(model, batch)

    monkeypatch.setattr(post_training, "answer_loss", watched)
    found = taught(
        tiny_llama,
        texts=[*texts, *texts, " "],
        labels=np.array([*labels, *labels, 0]),
        parameters=parameters(training={"steps": 30, "epochs": 2}),
    )
    distinct = len(set(texts))
    held_out = split_documents(texts, 0.2, 0)[1]
    assert found.scores["held_out_texts"] == 2 * len(set(held_out))
    learned = {tuple(token for token in row if token) for row in seen}
    assert len(learned) == distinct - len(set(held_out))


def test_what_cannot_be_learned_is_an_error(
    tiny_llama: LanguageModel, tiny_bert: LanguageModel
) -> None:
    texts, labels = toys(8)
    with pytest.raises(HeadstartError, match="BertModel has no language-model head"):
        taught(tiny_bert)
    with pytest.raises(HeadstartError, match=r"toys .* have one class; there is no answer"):
        taught(tiny_llama, labels=np.zeros(60, int))
    with pytest.raises(HeadstartError, match="8 documents, all of them empty"):
        taught(tiny_llama, texts=[" "] * 8, labels=labels)
    with pytest.raises(HeadstartError, match="No verbalizer for the class 'lame'"):
        taught(tiny_llama, texts=texts, labels=labels, class_names=["quick", "lame"])
    wrong = parameters(adapters={**ADAPTERS, "targets": ["query"]})
    with pytest.raises(HeadstartError, match=r"no linear layer 'query'.*q_proj"):
        taught(tiny_llama, parameters=wrong)
