"""The text track: ingestion, in-context stage, and a whole run on the test environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError
from headstart.experiment import Experiment, base_configuration
from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import draw, split
from headstart.pipelines.in_context.nodes import learn_in_context
from headstart.pipelines.in_context.parameters import InContextStageParameters
from headstart.pipelines.ingestion.text_nodes import read_texts


def raw(texts: list[str | None], labels: list[str | None]) -> pd.DataFrame:
    paths = [f"t.csv#{i}" for i in range(len(texts))]
    return pd.DataFrame({"path": paths, "text": texts, "label": labels}, dtype="str")


def test_what_cannot_be_used_is_set_aside_with_the_reason() -> None:
    texts = ["a b", "A  B", None, "c", "d", "e", "x", "y", "z", "same", "same", "w"]
    labels = ["p", "p", "p", "p", "p", None, "q", "q", "q", "p", "q", "rare"]
    kept, rows, quarantine, counts = read_texts("mine", raw(texts, labels))
    reasons = dict(zip(quarantine["path"], quarantine["reason"], strict=True))
    assert reasons == {
        "t.csv#2": "no text",
        "t.csv#5": "no label",
        "t.csv#9": "same content with different labels (p, q)",
        "t.csv#10": "same content with different labels (p, q)",
        "t.csv#11": "class has too few examples (1, needs 3)",
    }
    assert counts["duplicates_removed"] == {"within_target": 1}  # case and blanks aside
    assert kept["text"].iloc[rows["row"]].tolist() == ["a b", "c", "d", "x", "y", "z"]
    assert rows["label"].tolist() == ["p", "p", "p", "q", "q", "q"]


def test_one_class_is_refused() -> None:
    with pytest.raises(HeadstartError, match=r"one class only, 'p'.*texts"):
        read_texts("mine", raw(["a", "b"], ["p", "p"]))


def test_the_catalog_says_which_targets_are_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    experiment = Experiment.from_configuration(parameters, catalog)
    assert experiment.text_targets == ["newsgroups"]
    assert experiment.image_targets == ["solar_cells", "faces"]
    catalog["mine.target"] = {"type": "headstart.datasets.TextFolderDataset", "filepath": "x"}
    mine = Experiment.from_configuration({**parameters, "targets": ["mine", "other"]}, catalog)
    assert (mine.text_targets, mine.image_targets) == (["mine"], ["other"])


def test_any_choice_of_representations_and_methods_makes_all_that_it_reads() -> None:
    """Every data set of a run is a raw one, a pretrained one, or what a node of the run writes."""
    from pathlib import Path

    from headstart import pipeline_registry

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    for representations in (["tfidf_svd"], ["next_word", "minilm"], ["minilm_untrained"]):
        chosen = {**parameters["text"], "representations": representations}
        pipeline_registry.use(
            Experiment.from_configuration(
                {**parameters, "targets": ["newsgroups"], "text": chosen}, catalog
            )
        )
        read = pipeline_registry.register_pipelines()["__default__"].inputs()
        made = (
            "ingestion.",
            "representation.",
            "pretraining.",
            "probing.",
            "fine_tuning.",
            "lora.",
        )
        free = {name for name in read if name.startswith(made)}
        assert not {name for name in free if not name.endswith("checkpoints")}
    pipeline_registry.use(Experiment.from_configuration(parameters, catalog))


class Oracle:
    """Stands for `fit_in_context`: remembers what it was asked, and knows the answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, *args: Any, **given: Any) -> Any:
        from headstart.learning.fits import Fit

        labels = args[3]
        self.asked.append(given)
        classes = len(given["class_names"])
        one_hot = np.eye(classes) * 0.8 + 0.2 / classes
        return Fit(
            identity=given["identity"],
            validation=one_hot[labels[given["validation"]]],
            test=one_hot[labels[given["test"]]],
            n_train=len(given["demonstrations"]),
            trainable_parameters=0,
            total_parameters=7,
            train_seconds=0.0,
            peak_memory_bytes=None,
        )


class Network:
    def to(self, device: Any) -> Network:
        return self


def prompted(monkeypatch: pytest.MonkeyPatch, shots: list[int]) -> tuple[Oracle, pd.DataFrame]:
    from types import SimpleNamespace

    from headstart.learning.text import in_context

    oracle = Oracle()
    monkeypatch.setattr(in_context, "fit_in_context", oracle)
    n = 40
    texts, rows, _, _ = read_texts(
        "mine", raw([f"text {i}" for i in range(n)], [["b", "a"][i % 2] for i in range(n)])
    )
    splits = split(rows, 0.25, 0)
    splits.insert(0, "target", "mine")
    scores, _ = learn_in_context(
        "tiny",
        "mine",
        texts,
        splits,
        draw(splits, [1, 3], 2, 0.2),
        SimpleNamespace(network=Network(), tokenizer=None),
        InContextStageParameters.model_validate(
            {"shots": shots, "seeds": 2, "batch_tokens": 100, "prompt": {}}
        ),
        ComputeParameters(device="cpu", progress=False),
    )
    return oracle, scores


def test_zero_shot_is_asked_once_and_noted_for_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle, scores = prompted(monkeypatch, [0, 3])
    assert [len(asked["demonstrations"]) for asked in oracle.asked] == [0, 6, 6]
    assert oracle.asked[0]["class_names"] == ["a", "b"]
    accuracy = scores[scores["metric"] == "accuracy"]
    assert (accuracy["value"] == 1).all()  # each seed has the probabilities of its own rows
    found = accuracy[accuracy["split"] == "test"][["shots", "seed", "n_train"]]
    assert found.to_numpy().tolist() == [[0, 0, 0], [0, 1, 0], [3, 0, 6], [3, 1, 6]]


def test_shots_without_a_draw_are_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(HeadstartError, match=r"no draws of 5 labels per class; it has 1, 3"):
        prompted(monkeypatch, [0, 5])
