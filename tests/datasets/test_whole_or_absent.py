"""Killed at any moment of a save, every type of the catalog leaves the old content or nothing."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from kedro.io import DataCatalog

import headstart.datasets
from headstart import pipeline_registry
from headstart.experiment import base_configuration, read_experiment
from headstart.fingerprint import path_fingerprint
from headstart.learning.encoders import Encoder, Features
from headstart.learning.fitted_model import FittedModel
from headstart.learning.images import ImageChunk
from headstart.learning.meta_learning.adapted_learner import AdaptedLearner
from headstart.learning.meta_learning.meta_learner import MetaLearner
from headstart.learning.multi_task.fitted_tasks import FittedTasks
from headstart.learning.multi_task.preparation import Preparation
from headstart.learning.multi_task.task_model import TaskModel
from headstart.learning.pretext.task import Example, Examples
from headstart.learning.text.fitted_text import FittedText
from headstart.learning.text.language_model import LanguageModel

_DONE, _KILLED = 0, 9
# What Python tells about before it touches the disk (`sys.addaudithook`).
_TOUCHES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"}

# Between two moments of a save that are tried; these write many files.
_STEPS = {"FittedTextDataset": 15, "LanguageModelDataset": 3}


def encoder(x: int) -> Encoder:
    return Encoder(config={"name": "pca", "x": x}, tensors={"w": np.full((2, 2), x)})


def language_model(x: int) -> LanguageModel:
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")),
        unk_token="[UNK]",
    )
    torch.manual_seed(x)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=8, intermediate_size=8, max_position_embeddings=16, **sizes)
    return LanguageModel(BertModel(config).eval(), tokenizer)


def chunks(x: int) -> Iterator[ImageChunk]:
    rows = pd.DataFrame({c: ["x"] * 3 for c in ("path", "label", "digest")}, dtype="str")
    rows["reason"] = pd.Series([None] * 3, dtype="str")
    for _ in range(2):
        yield ImageChunk(np.full((3, 4, 4, 3), x, dtype=np.uint8), rows)


def fitted_text(x: int) -> FittedText:
    config = {"classes": ["a", "b"], "text": {"causal": False}, "x": x}
    return FittedText(config, language_model(x), {"weight": np.eye(2, 8), "bias": np.zeros(2)})


def meta_learner(x: int) -> MetaLearner:
    return MetaLearner(
        method="maml",
        parameters={},
        network={},
        problem="regression",
        inputs={},
        outputs=1,
        classes=0,
        inner_steps=1,
        reading="query",
        weights={"w": torch.full((2, 2), float(x))},
    )


def fitted_tasks(x: int) -> FittedTasks:
    two = np.array([0.0, 1.0])
    preparation = Preparation(
        **{"mean": two, "deviation": two + 1, "indicated": np.array([1])},
        **{"target_mean": float(x), "target_deviation": 1.0},
    )
    model = TaskModel(
        **{"method": "pooled", "task_names": ("a",), "feature_names": ("f", "g")},
        **{"classes": (), "told_the_task": False, "preparation": preparation},
        **{"weights": [np.ones((1, 3, 1))], "biases": [np.ones((1, 1))]},
    )
    return FittedTasks({"track": "tables", "task_column": "t"}, [], model)


HEAD = {"weight": np.eye(2, 4), "bias": np.zeros(2)}
# Every type that a node saves, and what it saves; another content for another x.
CONTENTS: dict[str, Callable[[int], Any]] = {
    "AdaptedLearnerDataset": lambda x: AdaptedLearner(
        meta_learner(x), {"w": torch.full((2,), float(x))}, steps=1, classes=("a", "b")
    ),
    "CSVDataset": lambda x: pd.DataFrame({"x": [x] * 1000}),
    "EncoderDataset": encoder,
    "FeaturesDataset": lambda x: Features("pca", np.full((2, 2), x, dtype=np.float32), 1),
    "FittedModelDataset": lambda x: FittedModel(
        config={"classes": ["a", "b"]}, encoder=encoder(x), head=HEAD
    ),
    "FittedTasksDataset": fitted_tasks,
    "FittedTextDataset": fitted_text,
    "ImageStoreDataset": chunks,
    "JSONDataset": lambda x: {"x": [x] * 1000},
    "LanguageModelDataset": language_model,
    "MetaLearnerDataset": meta_learner,
    "ParquetDataset": lambda x: pd.DataFrame({"x": [x] * 1000}),
    "PlotlyDataset": lambda x: go.Figure(go.Scatter(x=[x], y=[x])),
    "PretextExamplesDataset": lambda x: [
        Examples("s", "t", [Example([np.full((4, 5, 3), x, dtype=np.uint8)], ["c"])])
    ],
    "TextDataset": lambda x: str(x) * 1000,
}


def test_these_are_all_types_that_a_node_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every pipeline, with everything that can be switched on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters, config = base_configuration(Path(headstart.datasets.__file__).parents[3])
        parameters["text"]["representations"].append("next_word")
        parameters["text"]["asked"] += ["next_word", "post_training"]
        parameters["few_shot"]["families"] = ["glyphs", "faces"]
        experiment = read_experiment(parameters, config)
        monkeypatch.setattr(pipeline_registry, "_experiment", experiment)
        outputs = set().union(
            *(p.all_outputs() for p in pipeline_registry.register_pipelines().values())
        )
        catalog = DataCatalog.from_config(config)
        types = {type(catalog.get(name)).__name__ for name in outputs}
    assert types == set(CONTENTS)


def save_in_a_child(save: Callable[[], None], folder: Path, touches: int) -> int:
    """Save in a process that is dead before its so-and-so-many-th touch of the folder."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = touches

    def count(event: str, what: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _TOUCHES and str(what[0]).startswith(str(folder)):
            left -= 1
            if left < 0:
                os._exit(_KILLED)

    try:
        sys.addaudithook(count)
        save()
        os._exit(_DONE)
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
@pytest.mark.parametrize("name", CONTENTS)
def test_a_killed_save_leaves_the_old_content_or_nothing(tmp_path: Path, name: str) -> None:
    # A stream of images can be read once, everything else is made once.
    content = chunks if name == "ImageStoreDataset" else cache(CONTENTS[name])
    whole = {}
    for x in (1, 2):
        dataset = getattr(headstart.datasets, name)(filepath=str(tmp_path / f"{x}" / "data"))
        dataset.save(content(x))
        whole[x] = path_fingerprint(tmp_path / f"{x}" / "data")
    assert whole[1] != whole[2]
    is_folder = (tmp_path / "1" / "data").is_dir()
    for old in (None, 1):
        found: set[str | None] = set()
        for touches in range(0, 1000, _STEPS.get(name, 1)):
            folder = tmp_path / "killed"
            shutil.rmtree(folder, ignore_errors=True)
            if old:
                shutil.copytree(tmp_path / "1", folder)
            dataset = getattr(headstart.datasets, name)(filepath=str(folder / "data"))
            outcome = save_in_a_child(lambda d=dataset: d.save(content(2)), folder, touches)  # type: ignore[misc]
            assert outcome in (_DONE, _KILLED)
            found.add(path_fingerprint(folder / "data"))
            if outcome == _DONE:
                break
            # The next run is in nobody's way.
            dataset.save(content(2))
            assert path_fingerprint(folder / "data") == whole[2]
            assert [path.name for path in folder.iterdir()] == ["data"]
        assert touches > 2
        # A folder cannot be renamed onto another: for a moment there is none.
        allowed = {whole[2], whole[1] if old else None} | ({None} if is_folder else set())
        assert found <= allowed
        assert found >= {whole[2], whole[1] if old else None}
