"""Small models that the tests of planning share."""

from __future__ import annotations

from typing import Any

from headstart.learning.planning.parameters import PlannedMethod, PlannedModel

OPT: dict[str, Any] = {
    **{"model_type": "opt", "hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 128},
    **{"num_hidden_layers": 7, "num_attention_heads": 4, "vocab_size": 500},
    **{"max_position_embeddings": 64, "activation_function": "gelu", "dropout": 0.0},
}
GPT3: dict[str, Any] = {
    **OPT,
    **{"hidden_size": 12288, "word_embed_proj_dim": 12288, "ffn_dim": 49152},
    **{"num_hidden_layers": 96, "num_attention_heads": 96, "vocab_size": 50257},
    "max_position_embeddings": 2048,
}
BERT: dict[str, Any] = {
    **{"model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "vocab_size": 300},
    **{"num_hidden_layers": 2, "num_attention_heads": 4},
}

WORDS = PlannedModel(transformers=OPT, causal=True, tokens=16)
TEXTS = PlannedModel(transformers=BERT, tokens=16)
IMAGES = PlannedModel(network="small_resnet", image_size=32)
BIG = PlannedModel(transformers=GPT3, causal=True, tokens=2048)


def lora(rank: int = 4, kind: Any = "lora") -> PlannedMethod:
    """Adapters on the projections of queries and values."""
    return PlannedMethod(kind=kind, rank=rank, targets=["q_proj", "v_proj"])
