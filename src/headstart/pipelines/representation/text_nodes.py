"""Nodes of the representation stage for texts."""

from functools import partial
from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.pipelines.representation.text_parameters import TextRepresentationParameters


def extract_tfidf_svd(
    texts: pd.DataFrame, rows: pd.DataFrame, parameters: TextRepresentationParameters
) -> Any:
    """The representation `tfidf_svd`, learned from the unlabeled texts.

    Args:
        texts: of the target.
        rows: column row: those to learn from; no test text is among them.
        parameters: size of the representation.

    Returns:
        `headstart.learning.encoders.Features`, as all of these nodes.
    """
    from headstart.learning.encoders import Features
    from headstart.learning.text.tfidf_svd import tfidf_svd

    options = parameters.tfidf_svd.model_dump()
    values, learned = tfidf_svd(list(texts["text"]), rows["row"].to_numpy(), **options)
    return Features("tfidf_svd", values, learned)


def extract_glove(
    texts: pd.DataFrame,
    rows: pd.DataFrame,
    vectors: Any,
    parameters: TextRepresentationParameters,
) -> Any:
    """The representation `glove`: weighted means of word vectors.

    Args:
        texts: of the target.
        rows: column row: those whose words are counted; no test text is among them.
        vectors: `headstart.learning.text.word_vectors.WordVectors`.
        parameters: how words are weighted.
    """
    from headstart.learning.encoders import Features
    from headstart.learning.text.word_vectors import average_words, word_shares

    shares = word_shares(texts["text"].iloc[rows["row"]])
    values = average_words(list(texts["text"]), vectors, shares, parameters.glove.smoothing)
    return Features("glove", values, vectors.matrix.size)


def extract_language_model(
    name: str,
    target: str,
    texts: pd.DataFrame,
    model: Any,
    parameters: TextRepresentationParameters,
    compute: ComputeParameters,
) -> Any:
    """The representation of a language model: the pooled states of its last layer.

    Args:
        name: of the representation: `minilm`, or the task that a model has read on by.
        target: name of the target.
        texts: of the target.
        model: `headstart.learning.text.language_model.LanguageModel`.
        parameters: length, pooling and size of a batch.
        compute: device and progress bar.
    """
    from tqdm import tqdm

    from headstart.learning.encoders import Features, choose_device
    from headstart.learning.text.language_model import encode

    encoder = parameters.encoder
    values = encode(
        model,
        list(texts["text"]),
        most_tokens=encoder.most_tokens,
        pooling=encoder.pooling,
        batch_tokens=encoder.batch_tokens,
        device=choose_device(compute),
        progress=partial(
            tqdm, desc=f"{target}: extract {name}", unit="batch", disable=not compute.progress
        ),
    )
    return Features(name, values, model.parameters)


def extract_minilm_untrained(
    target: str,
    texts: pd.DataFrame,
    model: Any,
    parameters: TextRepresentationParameters,
    compute: ComputeParameters,
) -> Any:
    """The representation `minilm_untrained`: the same network with its initial weights."""
    from headstart.learning.text.language_model import untrained

    fresh = untrained(model, parameters.encoder.untrained_seed)
    return extract_language_model("minilm_untrained", target, texts, fresh, parameters, compute)
