"""Tiny language models with random weights and a vocabulary of a few words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headstart.learning.text.language_model import LanguageModel

WORDS = [
    *("the", "a", "red", "blue", "green", "car", "boat", "train", "is", "was", "fast", "slow"),
    *("old", "new", "and", "very", "quite"),
]


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    )


@pytest.fixture
def tiny_bert() -> LanguageModel:
    """An encoder: two layers, width 32."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    return LanguageModel(BertModel(config).eval(), tiny_tokenizer())


@pytest.fixture
def tiny_llama() -> LanguageModel:
    """A causal model: two layers, width 32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    return LanguageModel(LlamaForCausalLM(config).eval(), tiny_tokenizer())
