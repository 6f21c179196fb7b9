"""In-context classification against plain loops of whole forwards, with tiny random networks."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers.modeling_outputs import CausalLMOutput

from headstart.errors import HeadstartError
from headstart.learning import metrics
from headstart.learning.text.in_context import (
    balanced_order,
    calibrate,
    fit_in_context,
    label_log_likelihoods,
)
from headstart.learning.text.in_context_parameters import InContextParameters
from headstart.learning.text.prompt import write_prompt

torch.set_num_threads(1)
BOS = 256
CLASSES = ["sport", "a_law", "money"]
TEXTS = ["a goal!", "", "they met in Geneva for talks", "x", "éà – $", "buy", "rain " * 5, "end"]
LABELS = np.array([0, 0, 0, 1, 2, 1, 0, 2])
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 260}
PLAIN = InContextParameters(calibrate=False)


def bytes_tokenizer(bos: bool = False):
    """Every byte is a token, so that a prompt's tokens do not depend on where it is cut."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary | {"<s>": BOS}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", BOS)]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


TOKENIZER = bytes_tokenizer()


def llama(context: int = 512, dropout: float = 0.0):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **SMALL,
        intermediate_size=64,
        max_position_embeddings=context,
        initializer_range=0.15,
        attention_dropout=dropout,
    )
    return transformers.LlamaForCausalLM(config).eval()


def other(name: str):
    """Networks that treat positions and the past in other ways."""
    torch.manual_seed(0)
    spread = {"initializer_range": 0.3}
    mistral = SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 9}
    mamba = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 260}
    config = {
        "gpt2": lambda: transformers.GPT2Config(**SMALL, **spread),  # learned positions
        "opt": lambda: transformers.OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=32),
        "bloom": lambda: transformers.BloomConfig(**SMALL, **spread),  # distances, no positions
        "mistral": lambda: transformers.MistralConfig(**mistral, **spread),  # sliding window
        "mamba": lambda: transformers.MambaConfig(**mamba, **spread),  # recurrent state
    }[name]()
    return transformers.AutoModelForCausalLM.from_config(config).eval()


LLAMA = llama()


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def plain_loop(network, prompts: list[list[int]], labels: list[list[int]]) -> np.ndarray:
    """One whole forward for each prompt and label: no batch, no padding, no cache."""
    scores = np.zeros((len(prompts), len(labels)))
    for i, prompt in enumerate(prompts):
        for c, label in enumerate(labels):
            with torch.no_grad():
                logits = network(torch.tensor([prompt + label])).logits[0].double()
            for t, token in enumerate(label):
                at = logits[len(prompt) + t - 1]
                scores[i, c] += float(at[token] - at.logsumexp(0))
    return scores


def fit(network=LLAMA, tokenizer=TOKENIZER, parameters=PLAIN, **changes):
    arguments = {
        "texts": TEXTS,
        "labels": LABELS,
        "demonstrations": np.array([0, 3, 4]),
        "validation": np.array([1, 5]),
        "test": np.array([2, 6, 7]),
        "class_names": CLASSES,
        "batch_tokens": 400,
        "identity": {"seed": 0},
    }
    return fit_in_context(network, tokenizer, parameters=parameters, **(arguments | changes))


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("batch_tokens", [1, 150, 10_000])
@pytest.mark.parametrize("prefix", ["", "Demonstrations are here.\n\n"])
@pytest.mark.parametrize("words", [["s", "w", "b"], [" sports", "w", " spa"]])
def test_cached_scores_are_those_of_whole_forwards(batch_tokens, prefix, words):
    queries, labels = [ids(f"Text: {t}\nTopic:") for t in TEXTS], [ids(w) for w in words]
    scores = [
        label_log_likelihoods(
            LLAMA, ids(prefix), queries, labels, batch_tokens=batch_tokens, use_cache=use_cache
        )
        for use_cache in (True, False)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    expected = plain_loop(LLAMA, [ids(prefix) + query for query in queries], labels)
    np.testing.assert_allclose(scores[0], expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.1  # else nothing was compared


@pytest.mark.parametrize("name", ["gpt2", "opt", "bloom", "mistral", "mamba"])
def test_other_networks_are_scored_as_whole_forwards_score_them(name):
    network, labels = other(name), [ids(" sports"), ids("w")]
    queries = [ids(f"{t}:") for t in TEXTS]
    scores = label_log_likelihoods(network, ids("Here. "), queries, labels, batch_tokens=10_000)
    expected = plain_loop(network, [ids("Here. ") + query for query in queries], labels)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_scores_do_not_depend_on_what_else_is_in_the_batch():
    queries, labels = [ids(f"{t}:") for t in TEXTS], [ids("yes"), ids("n")]
    together = label_log_likelihoods(LLAMA, ids("P"), queries, labels, batch_tokens=10**6)
    for query, scores in zip(queries, together, strict=True):
        alone = label_log_likelihoods(LLAMA, ids("P"), [query], labels, batch_tokens=10**6)
        np.testing.assert_allclose(alone[0], scores, atol=1e-4)


def test_the_prefix_is_read_once_and_batches_keep_to_their_tokens(monkeypatch):
    seen, forward = [], LLAMA.forward

    def counting(input_ids, attention_mask, **arguments):
        seen.append((input_ids.shape[1], attention_mask.numel()))
        return forward(input_ids=input_ids, attention_mask=attention_mask, **arguments)

    monkeypatch.setattr(LLAMA, "forward", counting)
    queries = [ids("q" * n) for n in (3, 9, 5, 7)]
    label_log_likelihoods(LLAMA, ids("p" * 50), queries, [ids("y"), ids("n")], batch_tokens=120)
    assert [length for length, _ in seen] == [50, 9, 5]
    assert max(size for _, size in seen) <= 120


def orders(n: int, count: int):
    return [np.random.default_rng([0, order]).permutation(n) for order in range(count)]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("bos", [False, True])
def test_probabilities_are_those_of_prompts_that_are_written_by_hand(normalize, bos):
    parameters = InContextParameters(
        instruction="Name the topic.",
        verbalizers={"sport": "Sport", "a_law": "World", "money": "Firm"},
        calibrate=False,
        orders=2,
        normalize_length=normalize,
    )
    blocks = [
        f"Text: {t}" for t in ("a goal!\nTopic: Sport", "x\nTopic: World", "éà – $\nTopic: Firm")
    ]
    labels = [ids(" Sport"), ids(" World"), ids(" Firm")]
    expected = 0
    for order in orders(3, 2):
        head = "\n\n".join(["Name the topic.", *(blocks[i] for i in order)])
        prompts = [f"{head}\n\nText: {TEXTS[row]}\nTopic:" for row in (1, 5, 2, 6, 7)]
        scores = plain_loop(LLAMA, [[BOS] * bos + ids(prompt) for prompt in prompts], labels)
        expected += softmax(scores / ([6, 6, 5] if normalize else 1)) / 2
    result = fit(tokenizer=bytes_tokenizer(bos), parameters=parameters)
    np.testing.assert_allclose(result.validation, expected[:2], rtol=1e-3)
    np.testing.assert_allclose(result.test, expected[2:], rtol=1e-3)
    assert expected.max() < 0.99  # else not much was compared
    assert result.n_train == 3
    assert result.trainable_parameters == 0
    assert result.total_parameters == LLAMA.num_parameters()


@pytest.mark.parametrize("shots", [0, 3])
def test_calibrated_probabilities_are_divided_by_those_of_content_free_texts(shots):
    parameters = InContextParameters(template="{text} is {label}", content_free=["N/A", ""])
    blocks = ["a goal! is sport", "x is a law", "éà – $ is money"]
    head = "".join(blocks[i] + "\n\n" for i in orders(3, 1)[0]) if shots else ""
    prompts = [ids(f"{head}{t} is") for t in ("N/A", "", *(TEXTS[row] for row in (2, 6, 7)))]
    p = softmax(plain_loop(LLAMA, prompts, [ids(" sport"), ids(" a law"), ids(" money")]))
    ratio = p[2:] / ((p[0] + p[1]) / 2)
    result = fit(parameters=parameters, demonstrations=np.array([0, 3, 4])[:shots])
    np.testing.assert_allclose(result.test, ratio / ratio.sum(axis=1, keepdims=True), rtol=1e-3)
    assert not np.allclose(result.test, p[2:], rtol=0.05)
    assert result.chosen["calibrated"] is True
    assert result.chosen["demonstrations"] == shots


def test_calibration_survives_a_class_that_is_all_but_ruled_out():
    p = calibrate(np.array([[0.0, -2000.0]]), np.array([[0.0, -2001.0]]))
    np.testing.assert_allclose(p, [[1 / (1 + math.e), math.e / (1 + math.e)]])


@pytest.mark.parametrize("label", [0, 1, 2])
def test_calibration_is_chosen_by_the_validation_loss(label):
    labels = LABELS.copy()
    labels[[1, 5]] = label
    raw, calibrated, chosen = (
        fit(labels=labels, parameters=InContextParameters(calibrate=how))
        for how in (False, True, "validation")
    )
    losses = [metrics.nll(f.validation, labels[[1, 5]]) for f in (raw, calibrated)]
    assert chosen.chosen["calibrated"] is (losses[1] < losses[0])
    np.testing.assert_allclose(chosen.validation, (raw, calibrated)[np.argmin(losses)].validation)
    with pytest.raises(ValueError, match="validation"):
        fit(parameters=InContextParameters(calibrate="validation"), validation=np.array([], int))


def test_the_accuracy_of_every_order_is_reported_and_labels_of_test_rows_are_not_read():
    parameters = InContextParameters(calibrate=False, orders=3)
    result = fit(parameters=parameters)
    assert len(result.chosen["validation_accuracies"]) == 3
    unknown = LABELS.copy()
    unknown[[2, 6, 7]] = -1
    again = fit(labels=unknown, parameters=parameters)
    np.testing.assert_array_equal(again.test, result.test)
    assert again.chosen == result.chosen
    assert not np.allclose(fit(identity={"seed": 1}).test, fit().test, rtol=0.05)  # other orders
    assert fit(validation=np.array([], int)).chosen["validation_accuracies"] == []


def test_no_weight_changes():
    network = llama(dropout=0.5).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result = fit(network)
    np.testing.assert_array_equal(result.test, fit(LLAMA).test)  # evaluation mode
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None for p in network.parameters())


def test_the_order_takes_the_first_of_every_class_then_the_second():
    assert balanced_order(np.array([0, 0, 0, 1, 2, 1])).tolist() == [0, 3, 4, 1, 5, 2]
    assert balanced_order(np.array([], int)).tolist() == []


def test_as_many_demonstrations_are_shown_as_fit():
    rows = {"demonstrations": np.array([0, 1, 3, 4]), "test": np.array([2, 7])}
    template = InContextParameters(template="{text}:{label}", separator="|", calibrate=False)
    # In balanced order "|a goal!:sport", "|x:a law", "|éà – $:money" and "|:sport" have 14, 8, 17
    # and 7 bytes; the longest query has 30, and the 4 bytes of a label before its last are read.
    for context, expected in [(80, 4), (79, 3), (73, 3), (72, 2), (56, 2), (55, 1), (47, 0)]:
        result = fit(llama(context), parameters=template, **rows)
        assert result.chosen["demonstrations"] == result.n_train == expected, context
        assert result.chosen["most_tokens"] == min(128, context)
    one = fit(parameters=template, **(rows | {"demonstrations": np.array([0])}))
    np.testing.assert_allclose(fit(llama(55), parameters=template, **rows).test, one.test)


def test_texts_are_cut_where_not_even_zero_shot_fits():
    template = InContextParameters(template="{text}:{label}", calibrate=False)
    result = fit(llama(20), parameters=template)
    assert result.chosen["demonstrations"] == 0
    assert result.chosen["most_tokens"] == 20 - len(":mone")
    zero_shot = {"texts": [text[:15] for text in TEXTS], "demonstrations": np.array([], int)}
    expected = fit(parameters=template, **zero_shot)
    np.testing.assert_allclose(result.test, expected.test, rtol=1e-3)
    assert fit(llama(6), parameters=template).chosen["most_tokens"] == 1
    with pytest.raises(HeadstartError, match="can read 5"):
        fit(llama(5), parameters=template)


def test_texts_are_cut_to_the_most_tokens():
    few = InContextParameters(most_tokens=4, calibrate=False)
    cut = ["a go", "", "they", "x", "éà", "buy", "rain", "end"]  # é and à have two bytes each
    np.testing.assert_allclose(fit(parameters=few).test, fit(texts=cut).test, rtol=1e-3)
    assert not np.allclose(fit(parameters=few).test, fit().test, rtol=0.05)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(3)), how=st.booleans())
def test_the_order_of_the_classes_orders_the_probabilities(order, how):
    parameters = InContextParameters(calibrate=how)
    renamed = np.argsort(order)[LABELS]
    moved = fit(labels=renamed, class_names=[CLASSES[c] for c in order], parameters=parameters)
    np.testing.assert_allclose(moved.test, fit(parameters=parameters).test[:, order], rtol=1e-3)


def test_a_network_that_knows_the_answer_is_right(monkeypatch):
    network = llama()
    no, yes = ids("n")[0], ids("y")[0]

    def knows(input_ids, logits_to_keep, **_):
        """'y' at the end of a query with 'goal' in it, else 'n'; the opposite elsewhere."""
        logits = torch.zeros(*input_ids.shape, 260)
        for row, tokens in enumerate(input_ids.tolist()):
            goal = "goal" in TOKENIZER.decode(tokens)
            for place, token in enumerate(tokens):
                logits[row, place, yes if goal == (token == ids(":")[0]) else no] = 5
        return CausalLMOutput(logits=logits[:, logits_to_keep])

    monkeypatch.setattr(network, "forward", knows)
    texts = ["a goal", "no", "goal in the last minute of it", "rain", "a vote", "goal", "x", "y"]
    labels = np.array(["goal" in text for text in texts]).astype(int)
    answers = {"is_not": "n", "is": "y"}
    for shots in (0, 2):
        result = fit(
            network,
            texts=texts,
            labels=labels,
            class_names=["is_not", "is"],
            parameters=InContextParameters(verbalizers=answers, template="{text}:{label}"),
            demonstrations=np.array([0, 1])[:shots],
            validation=np.arange(2, 5),
            test=np.arange(2, 8),
        )
        assert metrics.accuracy(result.test, labels[2:]) == 1
        assert result.chosen["validation_accuracies"] == [1]


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("Topic: {label}", "hold {text}"),
        ("{label}: {text}", "end with {label}"),
        ("{text} {label} {label}", "only there"),
        ("{text} {label}", "more than"),
    ],
)
def test_a_template_that_cannot_work_is_refused(template, wrong):
    with pytest.raises(ValidationError, match=wrong):
        InContextParameters(template=template)


def test_every_class_needs_a_word_of_its_own():
    with pytest.raises(HeadstartError, match="'world_news'"):
        InContextParameters(verbalizers={"sports": "x"}).words(["sports", "world_news"])
    with pytest.raises(HeadstartError, match="'a b'"):
        InContextParameters().words(["a_b", "a b"])
    assert InContextParameters().words(["a_b"]) == [" a b"]
    assert InContextParameters(template="{text}\n{label}").words(["a_b"]) == ["a b"]


def test_labels_that_the_tokenizer_cannot_tell_apart_are_refused():
    words = Tokenizer(models.WordLevel({"?": 0, "Topic": 1}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    with pytest.raises(HeadstartError, match="the class 'cat'"):
        write_prompt(tokenizer, [], ["text"], ["cat", "dog"], PLAIN)


def test_braces_in_texts_are_only_text():
    prompt = write_prompt(TOKENIZER, [("{label}", 0)], ["{text} {x}"], ["a", "b"], PLAIN)
    assert TOKENIZER.decode(prompt.queries[0]) == "\n\nText: {text} {x}\nTopic:"
    first, later = prompt.demonstrations[0]
    assert TOKENIZER.decode(first) == "Text: {label}\nTopic: a"
    assert TOKENIZER.decode(later) == "\n\nText: {label}\nTopic: a"


def test_prompts_cannot_be_changed():
    prompt = write_prompt(TOKENIZER, [], ["x"], ["a", "b"], PLAIN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt.queries = []
