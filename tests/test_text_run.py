"""Whole runs on texts of one's own: report, model, predictions, reruns, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

CATALOG = """
tickets.target:
  type: headstart.datasets.TextTableDataset
  filepath: data/01_raw/tickets.csv
  text_column: body
  label_column: {label}
"""
NAMES = ["cooking", "space"]
WORDS = [
    "pan oven salt soup bread butter recipe onions boil taste".split(),  # noqa: SIM905
    "orbit rocket moon launch shuttle planet nasa telescope star mission".split(),  # noqa: SIM905
]


def tickets(number: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS[i % 2], 6)) + f" {i}" for i in range(number)]
    return pd.DataFrame({"body": texts, "queue": [NAMES[i % 2] for i in range(number)]})


def write(project: Path, table: pd.DataFrame, label: str = "queue") -> None:
    folder = project / "data" / "01_raw"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "tickets.csv", index=False)
    # `--env test` stands in for `local`, where a user would write this.
    catalog = project / "conf" / "test" / "catalog.yml"
    catalog.write_text(catalog.read_text() + CATALOG.format(label=label))


ASKING = """
pretrained.smollm2:
  type: headstart.datasets.LanguageModelDataset
  filepath: data/01_raw/tiny
  causal: true
reuters.source:
  type: headstart.datasets.TextTableDataset
  filepath: data/01_raw/letters.csv
  text_column: body
  label_column: queue
"""


def save_tiny_causal_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["[UNK]", "Text", "Topic", ":", "N", "A", *NAMES, "far", "near", *WORDS[0], *WORDS[1]]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(words), intermediate_size=16, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)


def ask_after_post_training(project: Path, table: pd.DataFrame) -> None:
    """A tiny causal model, a source task for it with a text of the target, and both asked."""
    save_tiny_causal_model(project / "data/01_raw/tiny")
    letters = tickets(30, 1).assign(queue=["far", "near"] * 15)
    letters.loc[3, "body"] = table.loc[5, "body"].upper()
    letters.to_csv(project / "data/01_raw/letters.csv", index=False)
    catalog = project / "conf/test/catalog.yml"
    catalog.write_text(catalog.read_text() + ASKING)
    parameters = project / "conf/test/parameters.yml"
    text = parameters.read_text().replace(
        "from_scratch]", "from_scratch, in_context]\n  asked: [smollm2, post_training]"
    )
    parameters.write_text(text + "in_context: {most_shots: 1}\n")


def test_texts_of_ones_own_give_a_report_a_model_and_predictions(kedro: Any, project: Path) -> None:
    table = tickets(40, 0)
    table.loc[7, "body"] = None
    write(project, table)
    ask_after_post_training(project, table)
    run = ("run", "--env", "test", "--params", "targets=tickets")
    done = kedro(project, *run)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    reporting = project / "data/test/08_reporting"
    results = pd.read_parquet(reporting / "results.parquet")
    assert set(results["track"]) == {"text"}
    assert set(results["method"]) == {
        *("linear_probe", "nearest_neighbors", "fine_tune", "lora", "bitfit", "from_scratch"),
        "in_context",
    }
    asked = results[results["method"] == "in_context"]
    assert set(zip(asked["representation"], asked["shots"], strict=True)) == {
        (name, shots) for name in ("smollm2", "post_training") for shots in (0, 1)
    }
    everything = results[results["shots"].isna() & (results["metric"] == "accuracy")]
    probes = everything[everything["method"] == "linear_probe"].groupby("representation")["value"]
    assert probes.mean()["minilm"] > 0.9  # two vocabularies that share no word
    gains = pd.read_csv(reporting / "leaderboard.csv")
    assert set(gains.loc[gains["method"] == "lora", "baseline"]) == {"minilm_untrained"}
    aside = pd.read_parquet(reporting / "quarantine.parquet")
    assert aside[["path", "reason"]].to_numpy().tolist() == [["tickets.csv#7", "no text"]]
    reading = pd.read_parquet(reporting / "text_pretraining.parquet")
    assert reading[["source", "task", "start"]].to_numpy().tolist() == [
        ["tickets", "masked_language", "minilm"],
        ["reuters", "post_training", "smollm2"],
    ]
    assert reading["held_out_loss_after"].notna().all()
    rows = pd.read_parquet(project / "data/test/03_primary/reuters/source_rows.parquet")
    assert rows["row"].tolist() == [row for row in range(30) if row != 3]  # the target's text
    page = (reporting / "report.html").read_text(encoding="utf-8")
    assert "Reading on in the target" in page
    assert "Post-training on a source task" in page
    assert "Each new text" not in page

    new = tickets(6, 5).rename(columns={"body": "text"})
    new[["text"]].to_csv(project / "new.csv", index=False)
    done = kedro(
        *(project, "run", "--env", "test", "--pipelines", "text_prediction", "--params"),
        "targets=tickets,prediction.target=tickets,prediction.texts=new.csv",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = pd.read_parquet(project / "data/test/07_model_output/predictions_tickets.parquet")
    assert said["path"].tolist() == [f"new.csv#{row}" for row in range(6)]
    assert said["label"].isin(NAMES).all()
    assert said["probability"].between(0.5, 1).all()
    card = (reporting / "model_card_tickets.md").read_text(encoding="utf-8")
    assert "Give each new text one of 2 classes" in card

    # Another rank: LoRA runs again, and what depends on it; nothing else does.
    done = kedro(project, *run[:-1], "targets=tickets,text_fine_tuning.adapters.rank=2")
    ran = [line.split(" ")[1] for line in done.stdout.splitlines() if "/" in line.split(" ")[0]]
    assert "lora.tickets.minilm.lora" in ran
    stages = ("ingestion", "pretraining", "representation", "probing", "fine_tuning", "in_context")
    assert not [node for node in ran if node.startswith(stages) or node.endswith("bitfit")]


@pytest.mark.parametrize(
    ("change", "label", "words"),
    [
        ({}, "colour", "no column 'colour'; it has body, queue"),
        ({"queue": "one"}, "queue", "one class only, 'one'"),
        ({"body": None}, "queue", "no class"),
    ],
)
def test_tables_that_will_not_do_end_in_one_message(
    kedro: Any, project: Path, change: dict[str, Any], label: str, words: str
) -> None:
    write(project, tickets(10, 0).assign(**change), label)
    done = kedro(project, "run", "--env", "test", "--params", "targets=tickets")
    assert done.returncode == 1
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_layer_that_is_not_there_is_told_with_those_that_are(kedro: Any, project: Path) -> None:
    write(project, tickets(40, 0))
    done = kedro(
        *(
            project,
            "run",
            "--env",
            "test",
            "--pipelines",
            "ingestion,pretraining,representation,lora",
        ),
        *("--params", "targets=tickets,text_fine_tuning.adapters.targets=[q_proj]"),
    )
    assert done.returncode == 1
    assert "no linear layer 'q_proj'. It has dense, key, query, value" in done.stdout + done.stderr
