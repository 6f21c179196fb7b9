"""Fits of language models: what each method trains, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fit_jobs import FitJob
from headstart.learning.text.adaptation import (
    TextClassifier,
    TextFitPlan,
    cross_entropy,
    fit_text,
    run_text_job,
)
from headstart.learning.text.language_model import LanguageModel, encode, pad, tokenize
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.learning.text.refit import ADAPTATIONS

VEHICLES = ["car", "boat", "train"]
TEXTS = [
    f"{article} {color} {vehicle} {verb} {how}"
    for article in ("the", "a")
    for color in ("red", "blue", "green")
    for vehicle in VEHICLES
    for verb in ("is", "was")
    for how in ("old", "new")
]
LABELS = np.array([VEHICLES.index(text.split()[2]) for text in TEXTS])
ROWS = np.random.default_rng(0).permutation(len(TEXTS))


def plan(
    model: LanguageModel,
    steps: int = 40,
    head: str = "random",
    rate: float = 0.01,
    method: str = "lora",
) -> TextFitPlan:
    training = TrainingParameters(
        steps=steps, epochs=100, batch_size=8, learning_rate=rate, evaluations=2
    )
    features = encode(
        model,
        TEXTS,
        most_tokens=12,
        pooling="mean",
        batch_tokens=100,
        device=torch.device("cpu"),
    )
    return TextFitPlan(
        model=model,
        name="tiny",
        texts=TEXTS,
        labels=LABELS,
        classes=3,
        features=features,
        parameters=TextAdaptationParameters(
            training=training,
            most_tokens=12,
            head_initialization=head,  # type: ignore[arg-type]
        ),
        lora=LoraParameters(rank=4, alpha=8, targets=["query", "value"]),
        compute=ComputeParameters(device="cpu", progress=False, batch_size=8),
        adapt=ADAPTATIONS.get(method),
        made_of=["code"],
    )


def job(method: str, seed: int = 0) -> FitJob:
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    identity = dict(zip(names, ("text", "toy", "tiny", method, 5, seed, None), strict=True))
    return FitJob(identity, ROWS[:30], ROWS[30:50], ROWS[50:])


@pytest.mark.parametrize("method", ["fine_tune", "from_scratch", "lora", "bitfit"])
def test_each_method_learns_and_trains_what_is_its_own(
    tiny_bert: LanguageModel, method: str
) -> None:
    before = {k: v.clone() for k, v in tiny_bert.network.state_dict().items()}
    few = method in ("lora", "bitfit")  # of random weights few are little to learn with
    steps, rate = (80, 0.04) if few else (40, 0.01)
    fit, _ = fit_text(plan(tiny_bert, steps, rate=rate, method=method), job(method))
    assert (fit.test.argmax(1) == LABELS[ROWS[50:]]).mean() > 0.8  # chance: a third
    assert np.allclose(fit.test.sum(axis=1), 1)
    head = 3 * 32 + 3
    everything = tiny_bert.parameters + head
    biases = sum(v.numel() for k, v in tiny_bert.network.named_parameters() if k.endswith("bias"))
    assert (
        fit.trainable_parameters
        == {
            "fine_tune": everything,
            "from_scratch": everything,
            "lora": 2 * 2 * (32 + 32) * 4 + head,
            "bitfit": biases + head,
        }[method]
    )
    # The model that all fits start from is not touched.
    assert all(torch.equal(v, before[k]) for k, v in tiny_bert.network.state_dict().items())


def test_a_fit_is_the_same_twice_and_differs_by_seed(tiny_bert: LanguageModel) -> None:
    one, two, other = (
        fit_text(plan(tiny_bert, steps=6), job("lora", seed))[0].test for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_head_that_starts_as_a_probe_predicts_as_the_probe(tiny_bert: LanguageModel) -> None:
    """With a learning rate of nearly nothing the fit is the linear probe."""
    from headstart.learning.encoders import Features
    from headstart.learning.linear_probe import fit_linear_probe

    start = plan(tiny_bert, steps=1, head="linear_probe")
    training = start.parameters.training.model_copy(update={"learning_rate": 1e-12})
    parameters = start.parameters.model_copy(update={"training": training})
    fit, _ = fit_text(TextFitPlan(**{**vars(start), "parameters": parameters}), job("lora"))
    assert start.features is not None
    probe, _ = fit_linear_probe(
        Features("tiny", start.features, 0),
        LABELS,
        train=ROWS[:30],
        validation=ROWS[30:50],
        test=ROWS[50:],
        classes=3,
        strengths=start.parameters.head_strengths,
        identity={},
    )
    np.testing.assert_allclose(fit.test, probe.test, atol=1e-4)


def test_the_loss_against_a_hand_computation(tiny_bert: LanguageModel) -> None:
    model = TextClassifier(tiny_bert.network, 3, "mean").eval()
    tokens, mask = pad(tokenize(tiny_bert.tokenizer, TEXTS[:4], 12), 0)
    labels = torch.tensor([2, 0, 1, 1])
    loss, extras = cross_entropy(model, {"tokens": tokens, "mask": mask, "labels": labels})
    states = tiny_bert.network(input_ids=tokens, attention_mask=mask).last_hidden_state
    logits = states.mean(dim=1) @ model.head.weight.T + model.head.bias
    by_hand = -F.log_softmax(logits, dim=1)[range(4), labels].mean()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert extras["train_accuracy"].item() == (logits.argmax(1) == labels).float().mean().item()


def test_a_finished_fit_is_not_fitted_twice(
    tiny_bert: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.learning.text import adaptation

    start = plan(tiny_bert, steps=4, method="bitfit")
    kept = TextFitPlan(**{**vars(start), "checkpoints": CheckpointFolder(tmp_path)})
    first = run_text_job(kept, job("bitfit"))
    monkeypatch.setattr(adaptation, "fit_text", lambda *_, **__: pytest.fail("fitted again"))
    again = run_text_job(kept, job("bitfit"))
    assert np.array_equal(first.test, again.test)
    assert first.history is not None
    assert again.history is not None
    assert first.history["value"].tolist() == again.history["value"].tolist()


def test_a_causal_model_is_adapted_at_its_last_token(tiny_llama: LanguageModel) -> None:
    start = plan(tiny_llama, steps=30)
    parameters = start.parameters.model_copy(update={"pooling": "last"})
    lora = LoraParameters(rank=4, alpha=8, targets=["q_proj", "v_proj"])
    fit, model = fit_text(
        TextFitPlan(**{**vars(start), "parameters": parameters, "lora": lora}), job("lora")
    )
    assert (fit.test.argmax(1) == LABELS[ROWS[50:]]).mean() > 0.6
    # The tokens after the last one of a text are padding: what stands there says nothing.
    ids = tokenize(tiny_llama.tokenizer, [TEXTS[0], TEXTS[0] + " and very old"], 12)
    tokens, mask = pad(ids, 0)
    with torch.no_grad():
        alone = model(tokens[:1, : len(ids[0])], mask[:1, : len(ids[0])])
        torch.testing.assert_close(model(tokens, mask)[:1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("group", [None, 2])
def test_frozen_layers_kept_or_run_again_make_the_same_fit(
    tiny_bert: LanguageModel, group: int | None
) -> None:
    """Same losses and predictions, dropout of the trained layer included."""
    start = plan(tiny_bert, steps=12)
    assert tiny_bert.network.config.hidden_dropout_prob > 0
    fits = []
    for keep in (True, False):
        parameters = start.parameters.model_copy(
            update={"keep_frozen": keep, "group_by_length": group}
        )
        lora = LoraParameters(rank=4, alpha=8, targets=["query", "value"], layers=1)
        made = TextFitPlan(**{**vars(start), "parameters": parameters, "lora": lora})
        fit, model = fit_text(made, job("lora"))
        assert model.frozen == 1
        fits.append(fit)
    one, two = fits
    assert one.history is not None
    assert two.history is not None
    losses = one.history["name"].str.endswith("loss")
    assert losses.sum() == 4
    np.testing.assert_allclose(
        one.history["value"][losses], two.history["value"][losses], rtol=1e-5
    )
    np.testing.assert_allclose(one.test, two.test, atol=1e-5)
    assert one.trainable_parameters == 2 * (32 + 32) * 4 + 3 * 32 + 3


def test_groups_by_length_are_another_order_of_the_same_texts(tiny_bert: LanguageModel) -> None:
    start = plan(tiny_bert, steps=6)
    texts = [text if i % 2 else f"very very very {text}" for i, text in enumerate(TEXTS)]
    grouped = start.parameters.model_copy(update={"group_by_length": 4})
    made = TextFitPlan(**{**vars(start), "texts": texts})
    one, two, again = (
        fit_text(TextFitPlan(**{**vars(made), "parameters": parameters}), job("lora"))[0].test
        for parameters in (start.parameters, grouped, grouped)
    )
    assert not np.array_equal(one, two)
    assert np.array_equal(two, again)
