from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fit_jobs import FitJob
from headstart.learning.text import adaptation
from headstart.learning.text.adaptation import TextFitPlan
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.lora import add_lora
from headstart.learning.text.lora_ranks import (
    RANK_COLUMNS,
    RankJob,
    at_rank,
    rank_table,
    run_rank_job,
)
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters

TEXTS = ["the red car", "a blue boat", "the green car", "a red boat"] * 4
LABELS = np.array([0, 1] * 8)
ADAPTERS = LoraParameters(rank=8, alpha=16, targets=["query", "value"])


def plan(model: LanguageModel) -> TextFitPlan:
    training = TrainingParameters(
        steps=2, epochs=2, batch_size=4, learning_rate=0.01, evaluations=1
    )
    return TextFitPlan(
        model=model,
        name="tiny",
        texts=TEXTS,
        labels=LABELS,
        classes=2,
        features=None,
        parameters=TextAdaptationParameters(training=training, most_tokens=8),
        lora=ADAPTERS,
        compute=ComputeParameters(device="cpu", progress=False),
        adapt=add_lora,
        made_of=["code"],
    )


def job(rank: int, seed: int = 0) -> RankJob:
    identity = {"track": "text", "target": "toy", "representation": "tiny", "method": "lora"}
    identity |= {"shots": 2, "seed": seed, "episode": None}  # type: ignore[dict-item]
    return RankJob(rank, FitJob(identity, np.arange(4), np.arange(4, 8), np.arange(8, 16)))


@pytest.mark.parametrize("variant", ["lora", "dora", "pissa"])
def test_another_rank_keeps_the_factor_of_the_update(variant: str) -> None:
    adapters = ADAPTERS.model_copy(update={"variant": variant})
    for rank in (1, 8, 64):
        other = at_rank(adapters, rank)
        assert (other.rank, other.alpha / other.rank) == (rank, 2.0)
        assert (other.targets, other.variant) == (adapters.targets, variant)


def test_rank_stabilized_adapters_keep_alpha() -> None:
    adapters = ADAPTERS.model_copy(update={"variant": "rslora"})
    assert at_rank(adapters, 64).alpha == 16


def test_a_row_is_a_rank_a_seed_and_a_metric(tiny_bert: LanguageModel) -> None:
    start = plan(tiny_bert)
    jobs = [job(rank, seed) for rank in (1, 4) for seed in (0, 1)]
    fits = [run_rank_job(start, one) for one in jobs]
    table = rank_table(zip(jobs, fits, strict=True), LABELS)
    assert list(table.columns) == RANK_COLUMNS
    accuracy = table[table["metric"] == "accuracy"]
    assert accuracy[["rank", "seed"]].to_numpy().tolist() == [[1, 0], [1, 1], [4, 0], [4, 1]]
    head = 2 * 32 + 2
    expected = [2 * 2 * (32 + 32) * rank + head for rank in (1, 1, 4, 4)]
    assert accuracy["trainable_parameters"].tolist() == expected
    right = [(fit.test.argmax(1) == LABELS[8:]).mean() for fit in fits]
    assert accuracy["value"].tolist() == pytest.approx(right)


def test_fits_of_different_ranks_are_kept_apart(
    tiny_bert: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = replace(plan(tiny_bert), checkpoints=CheckpointFolder(tmp_path))
    first = [run_rank_job(kept, job(rank)) for rank in (1, 4)]
    monkeypatch.setattr(adaptation, "fit_text", lambda *_, **__: pytest.fail("fitted again"))
    for fit, rank in zip(first, (1, 4), strict=True):
        again = run_rank_job(kept, job(rank))
        assert np.array_equal(fit.test, again.test)
        assert fit.trainable_parameters == again.trainable_parameters
