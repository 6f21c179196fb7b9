"""Pretraining on text whole: a tiny language is learned, interrupted, and given wrongly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters
from headstart.learning.text.corpus import Blocks
from headstart.learning.text.masked_language import MaskedLanguage
from headstart.learning.text.next_word import NextWord
from headstart.learning.text.pretrain import PretrainedText, pretrain_text, tokens_seen
from headstart.learning.text.pretraining_parameters import TextPretrainingParameters

COMPUTE = ComputeParameters(device="cpu", progress=False)
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
WORDS = 50
TASKS = ["masked_language", "next_word"]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(Exception):
    pass


def tokenizer(**special: Any) -> PreTrainedTokenizerFast:
    names = ["[UNK]", "[PAD]", "[MASK]", "[SEP]", *(f"w{i}" for i in range(WORDS))]
    whole = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=whole, **{**named, "sep_token": "[SEP]", **special}
    )


def network(task: str, dropout: bool = False) -> nn.Module:
    torch.manual_seed(0)
    if task == "next_word":
        return LlamaForCausalLM(
            LlamaConfig(vocab_size=60, intermediate_size=64, pad_token_id=1, **SIZES)
        )
    config = BertConfig(
        **{"vocab_size": 60, "intermediate_size": 64, "max_position_embeddings": 64, **SIZES},
        **{"pad_token_id": 1, "hidden_dropout_prob": 0.1 * dropout},
        attention_probs_dropout_prob=0.1 * dropout,
    )
    return BertModel(config, add_pooling_layer=False)


def counting(n: int = 200, length: int = 20) -> list[str]:
    """A deterministic language: after each word comes the next one, round and round."""
    starts = np.random.default_rng(0).integers(0, 10**6, size=n)
    return [" ".join(f"w{(s + i) % WORDS}" for i in range(length + s % 7)) for s in starts]


def parameters(**changed: Any) -> TextPretrainingParameters:
    training = {"steps": 400, "epochs": 1000, "batch_size": 32, "learning_rate": 0.01}
    training |= changed.pop("training", {})
    return TextPretrainingParameters(
        training=training, **{"block": 16, "held_out_share": 0.2, "seed": 1, **changed}
    )


def pretrained(task: Any, **changed: Any) -> PretrainedText:
    options: dict[str, Any] = {"parameters": parameters(), "compute": COMPUTE, **changed}
    return pretrain_text(
        task,
        options.pop("network", None) or network(task),
        options.pop("tokenizer", None) or tokenizer(),
        options.pop("texts", None) or counting(),
        **options,
    )


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([t.detach().flatten().double() for t in model.state_dict().values()])


@pytest.mark.parametrize("task", TASKS)
def test_a_little_language_is_learned(task: str) -> None:
    given = network(task)
    before = weights(given)
    found = pretrained(task, network=given)
    scores = found.scores
    # Untrained, every token is about as likely as any other.
    assert 30 < scores["perplexity_before"] < 100
    assert scores["perplexity_after"] < scores["perplexity_before"] / 5
    for when in ("before", "after"):
        assert scores[f"perplexity_{when}"] == math.exp(scores[f"held_out_loss_{when}"])
    history = found.history.query("name == 'held_out_loss'")
    assert history["step"].tolist() == [40 * (i + 1) for i in range(10)]
    assert history["value"].iloc[-1] == scores["held_out_loss_after"]
    assert scores["tokens_seen"] == pytest.approx(400 * 32 * 16, rel=0.1)
    assert scores["seconds"] > 0
    # The given network is left alone, and what comes back is its like, with other weights.
    assert torch.equal(weights(given), before)
    assert type(found.network) is type(given)
    assert found.network.state_dict().keys() == given.state_dict().keys()
    assert not torch.equal(weights(found.network), before)
    assert not found.network.training


def test_pretraining_goes_on_from_the_weights_that_are_given() -> None:
    first = pretrained("next_word")
    still = parameters(training={"steps": 1, "learning_rate": 1e-9})
    second = pretrained("next_word", network=first.network, parameters=still)
    assert second.scores["held_out_loss_before"] == pytest.approx(
        first.scores["held_out_loss_after"], rel=1e-6
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_held_out_loss_does_not_depend_on_how_it_is_batched(task: str) -> None:
    short = parameters(training={"steps": 2})
    losses = []
    for compute in ({"batch_size": 64}, {"batch_size": 3}, {"gradient_accumulation": 4}):
        changed = COMPUTE.model_copy(update=compute)
        scores = pretrained(task, parameters=short, compute=changed).scores
        losses.append((scores["held_out_loss_before"], scores["held_out_loss_after"]))
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-5)


def test_an_unchanged_network_has_the_same_loss_before_and_after() -> None:
    still = parameters(training={"steps": 3, "learning_rate": 1e-12})
    for task in TASKS:
        scores = pretrained(task, parameters=still).scores
        assert scores["held_out_loss_after"] == pytest.approx(
            scores["held_out_loss_before"], rel=1e-7
        )


@pytest.mark.parametrize("task", TASKS)
def test_killed_and_resumed_ends_with_the_same_bits(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = COMPUTE.model_copy(update={"checkpoint_seconds": 0.0})
    short = parameters(training={"steps": 20, "evaluations": 4})
    options: dict[str, Any] = {"parameters": short, "compute": saving, "signature": "weights"}
    options["network"] = network(task, dropout=True)
    whole = pretrained(task, **options)

    kind = {"masked_language": MaskedLanguage, "next_word": NextWord}[task]
    loss, steps, kill_at = kind.loss, [0], 12

    def mortal(self: Any, model: nn.Module, batch: Any) -> torch.Tensor:
        steps[0] += model.training
        if model.training and steps[0] == kill_at:
            raise Killed
        return loss(self, model, batch)

    monkeypatch.setattr(kind, "loss", mortal)
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(Killed):
        pretrained(task, checkpoint=folder, **options)
    resumed = pretrained(task, checkpoint=folder, **options)
    assert steps[0] == 12 + 20 - 11  # eleven steps were not done again
    assert torch.equal(weights(resumed.network), weights(whole.network))
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    timed = {"seconds"}
    assert {k: v for k, v in resumed.scores.items() if k not in timed} == {
        k: v for k, v in whole.scores.items() if k not in timed
    }
    # Another signature, other texts: begun anew.
    steps[0] = kill_at
    pretrained(task, checkpoint=folder, **{**options, "signature": "other weights"})
    assert steps[0] == kill_at + 20
    pretrained(task, checkpoint=folder, texts=counting(100), **options)
    assert steps[0] == kill_at + 40


def test_tokens_are_counted_as_often_as_they_are_seen() -> None:
    blocks = Blocks(np.zeros((10, 16), np.int32), 16)
    # Epochs of ten blocks in batches of 3, 3 and 4, as even as they can be.
    assert [tokens_seen(blocks, steps, 4) for steps in range(5)] == [
        16 * n for n in (0, 3, 6, 10, 13)
    ]
    assert tokens_seen(Blocks(np.zeros((1, 16), np.int32), 5), 7, 4) == 35


def test_a_corpus_of_two_short_documents_is_enough() -> None:
    short = parameters(training={"steps": 2})
    for task in TASKS:
        found = pretrained(task, texts=["w1 w2 w3", "w4 w5"], parameters=short)
        assert math.isfinite(found.scores["held_out_loss_after"])
        assert found.scores["held_out_tokens"] in ((1,) if task == "masked_language" else (2, 3))


def test_what_does_not_go_together_is_an_error() -> None:
    with pytest.raises(HeadstartError, match="block of 128 tokens is longer than the 64"):
        pretrained("masked_language", parameters=parameters(block=128))
    small = LlamaForCausalLM(LlamaConfig(vocab_size=20, intermediate_size=64, **SIZES))
    with pytest.raises(HeadstartError, match=r"has 54 tokens and the network embeddings for 20"):
        pretrained("next_word", network=small)
    with pytest.raises(HeadstartError, match="no language-model head"):
        pretrained("next_word", network=network("masked_language"))
    with pytest.raises(HeadstartError, match="no mask token"):
        pretrained("masked_language", tokenizer=tokenizer(mask_token=None))
    with pytest.raises(HeadstartError, match=r"special or unknown to the tokenizer"):
        pretrained("masked_language", texts=["was ist das", "das ist nichts"])
    with pytest.raises(HeadstartError, match="only one document"):
        pretrained("next_word", texts=["w1 w2 w3"])
