"""The model that is handed over: fitted again, saved, opened, and the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.datasets import FittedTextDataset
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.text.fitted_text import FittedText, predict
from headstart.learning.text.language_model import LanguageModel, pad, tokenize
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.learning.text.refit import refit_text

NAMES = ["car", "boat"]
TEXTS = [
    f"{article} {color} {NAMES[i % 2]} {how}"
    for i in range(2)
    for article in ("the", "a")
    for color in ("red", "blue", "green")
    for how in ("old", "new", "fast", "slow")
]
LABELS = np.array([NAMES.index(text.split()[2]) for text in TEXTS])
ROWS = np.random.default_rng(0).permutation(len(TEXTS))
COMPUTE = ComputeParameters(device="cpu", progress=False, batch_size=8)
CHOSEN: dict[str, Any] = {
    "linear_probe": {"strength": 0.01},
    "nearest_neighbors": {"k": 3},
    "fine_tune": {"head_strength": 0.01, "steps": 6},
    "lora": {"head_strength": 0.01, "steps": 6},
    "bitfit": {"head_strength": 0.01, "steps": 6},
    "from_scratch": {"head_strength": 0.01, "steps": 6},
}


def handed_over(model: LanguageModel, method: str) -> tuple[Any, FittedText]:
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    identity = dict(zip(names, ("text", "toy", "tiny", method, None, 0, None), strict=True))
    training = TrainingParameters(
        steps=10, epochs=100, batch_size=8, learning_rate=0.01, evaluations=1
    )
    fit, refitted, head, adapter, read = refit_text(
        identity,
        CHOSEN[method],
        model=model,
        texts=TEXTS,
        labels=LABELS,
        train=ROWS[:30],
        test=ROWS[30:],
        classes=2,
        encoder={"most_tokens": 12, "pooling": "mean"},
        batch_tokens=64,
        neighbors={"temperature": 0.07, "smoothing": 1.0},
        adaptation=TextAdaptationParameters(
            training=training,
            most_tokens=12,
            head_initialization="linear_probe",
            head_strengths=(0.01,),
        ),
        lora=LoraParameters(rank=2, alpha=4, targets=["query", "value"]),
        compute=COMPUTE,
    )
    config = {"method": method, "classes": NAMES, "text": {**read, "causal": False}}
    return fit, FittedText(config, refitted, head, adapter)


@pytest.mark.parametrize("method", list(CHOSEN))
def test_what_is_opened_predicts_what_the_fit_did(
    tiny_bert: LanguageModel, method: str, tmp_path: Path
) -> None:
    """The merged adapter and the head apart against the classifier that was trained."""
    fit, model = handed_over(tiny_bert, method)
    assert fit.n_train == 30
    if "steps" in CHOSEN[method]:
        assert fit.history["step"].max() == 6  # of the ten that there might have been
    dataset = FittedTextDataset(filepath=str(tmp_path / "model"))
    dataset.save(model)
    opened = dataset.load()
    said = predict(opened, [TEXTS[row] for row in ROWS[30:]], COMPUTE)
    np.testing.assert_allclose(said, fit.test, atol=1e-5)
    assert said.std() > 1e-3
    assert (tmp_path / "model" / "adapter").exists() == (method == "lora")


def test_the_adapter_is_opened_by_peft_and_gives_what_the_merged_model_gives(
    tiny_bert: LanguageModel, tmp_path: Path
) -> None:
    from peft import PeftModel

    _, model = handed_over(tiny_bert, "lora")
    FittedTextDataset(filepath=str(tmp_path / "model")).save(model)
    tokens, mask = pad(tokenize(tiny_bert.tokenizer, TEXTS[:4], 12), 0)
    with torch.no_grad():
        merged = model.model.network(tokens, mask).last_hidden_state
        plain = tiny_bert.network(tokens, mask).last_hidden_state
        apart = PeftModel.from_pretrained(tiny_bert.network, tmp_path / "model" / "adapter").eval()
        adapted = apart(input_ids=tokens, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(adapted, merged, atol=1e-5, rtol=1e-5)
    assert (adapted - plain).abs().max() > 1e-3
