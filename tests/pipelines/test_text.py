"""The text track: ingestion, in-context stage, and a whole run on the test environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError
from headstart.experiment import Experiment, base_configuration, read_experiment
from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import draw, split
from headstart.pipelines.checking import PLANS
from headstart.pipelines.in_context.nodes import learn_in_context
from headstart.pipelines.in_context.parameters import InContextStageParameters
from headstart.pipelines.ingestion.parameters import IngestionParameters
from headstart.pipelines.ingestion.text_nodes import (
    choose_source_texts,
    read_source_texts,
    read_texts,
)


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
    experiment = read_experiment(parameters, catalog)
    assert experiment.text_targets == ["newsgroups"]
    assert experiment.image_targets == ["solar_cells", "faces"]
    catalog["mine.target"] = {"type": "headstart.datasets.TextFolderDataset", "filepath": "x"}
    mine = read_experiment({**parameters, "targets": ["mine", "other"]}, catalog)
    assert (mine.text_targets, mine.image_targets) == (["mine"], ["other"])


def test_any_choice_of_representations_and_methods_makes_all_that_it_reads() -> None:
    """Every data set of a run is a raw one, a pretrained one, or what a node of the run writes."""
    from pathlib import Path

    from headstart import pipeline_registry

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    for representations in (["tfidf_svd"], ["next_word", "minilm"], ["minilm_untrained"]):
        chosen = {**parameters["text"], "representations": representations}
        pipeline_registry.use(
            read_experiment({**parameters, "targets": ["newsgroups"], "text": chosen}, catalog)
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
    pipeline_registry.use(read_experiment(parameters, catalog))


def asking(asked: Any, source: str = "reuters", **changed: Any) -> Experiment:
    """The default experiment on newsgroups, asking these models."""
    from pathlib import Path

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    learning = parameters["text_pretraining"]
    experiment: Experiment = read_experiment(
        {
            **{**parameters, "targets": ["newsgroups"]},
            "text": {**parameters["text"], "asked": asked, **changed},
            "text_pretraining": {
                **learning,
                "post_training": {**learning["post_training"], "source": source},
            },
        },
        catalog,
    )
    return experiment


def test_models_are_asked_after_what_they_have_learned() -> None:
    from headstart import pipeline_registry

    pipeline_registry.use(asking(["smollm2", "next_word", "post_training"]))
    stages = pipeline_registry.register_pipelines()
    nodes = {node.name: node for node in stages["__default__"].nodes}
    models = {
        name: nodes[f"in_context.newsgroups.{name}.in_context"].inputs[3]
        for name in ("smollm2", "next_word", "post_training")
    }
    assert models == {
        "smollm2": "pretrained.smollm2",
        "next_word": "pretraining.newsgroups.next_word.model",
        "post_training": "pretraining.reuters.post_training.model",
    }
    assert set(models.values()) - stages["pretraining"].outputs() == {"pretrained.smollm2"}
    collected = nodes["in_context.collect_scores"].inputs
    assert collected == [f"in_context.newsgroups.{name}.scores" for name in models]
    # The source is screened as a target is, and does not see the targets' texts.
    assert "reuters.source" in stages["ingestion"].inputs()
    chosen = nodes["ingestion.labels.reuters.choose_rows"].inputs
    assert "ingestion.newsgroups.screened" in chosen
    assert "ingestion.reuters.quarantine" in nodes["ingestion.join_quarantine"].inputs
    assert (
        "pretraining.reuters.post_training.scores"
        in nodes["pretraining.collect_text_scores"].inputs
    )
    # Who does not ask does not learn.
    for quiet in (asking("smollm2"), asking("post_training", methods=["linear_probe"])):
        pipeline_registry.use(quiet)
        names = {node.name for node in pipeline_registry.register_pipelines()["__default__"].nodes}
        assert not {name for name in names if "reuters" in name or "post_training" in name}
    pipeline_registry.use(asking("smollm2"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("reuter", r"post_training.source: the catalog has no entry 'reuter.source'"),
        ("newsgroups", r"'newsgroups' is a target of this run"),
        ("photographs", r"'photographs.source' is of no type that reads texts"),
    ],
)
def test_a_source_that_will_not_do_is_refused(source: str, words: str) -> None:
    with pytest.raises(HeadstartError, match=words):
        asking("post_training", source)
    asking("smollm2", source)  # it is not read


def test_an_unknown_model_to_ask_is_refused_with_the_closest_name() -> None:
    with pytest.raises(HeadstartError, match="did you mean 'post_training'"):
        asking("post_train")


def test_a_source_learns_from_no_text_of_a_target() -> None:
    texts, rows, quarantine, counts = read_source_texts(
        "theirs",
        raw(
            ["one", "Two  words", "three", None, "four", "five", "six", "seven"],
            ["p", "p", "p", "p", "p", "q", "q", "q"],
        ),
    )
    assert quarantine[["target", "role", "reason"]].to_numpy().tolist() == [
        ["theirs", "source", "no text"]
    ]
    assert counts["read"]["source"] == 8
    target = read_texts("mine", raw(["two words", "SIX", "x", "y", "z", "u"], [*"aaabbb"]))[1]
    parameters = IngestionParameters(
        **{"image_size": 8, "resize": "crop", "chunk_size": 1, "max_bad_share": 0.5},
        **{"test_share": 0.25, "split_seed": 0},
    )
    chosen = choose_source_texts("theirs", rows, quarantine, counts, parameters, target)
    kept = texts["text"].iloc[chosen["row"]].tolist()
    assert kept == ["one", "three", "four", "five", "seven"]
    strict = parameters.model_copy(update={"max_bad_share": 0.1})
    with pytest.raises(HeadstartError, match=r"theirs: 1 of 8 source examples"):
        choose_source_texts("theirs", rows, quarantine, counts, strict, target)
    others = rows[rows["label"] == "q"]
    with pytest.raises(HeadstartError, match=r"theirs: one class only, 'p'"):
        choose_source_texts("theirs", rows, quarantine, counts, parameters, target, others)


@pytest.mark.parametrize(
    ("representations", "methods", "handed_over"),
    [
        (["tfidf_svd"], ["linear_probe", "in_context"], False),
        (["minilm"], ["in_context"], False),
        (["minilm"], ["linear_probe"], True),
        (["glove"], ["from_scratch"], True),
    ],
)
def test_only_what_makes_a_model_with_a_head_hands_one_over(
    representations: list[str], methods: list[str], handed_over: bool
) -> None:
    from headstart import pipeline_registry

    pipeline_registry.use(asking("smollm2", representations=representations, methods=methods))
    written = pipeline_registry.register_pipelines()["__default__"].all_outputs()
    assert ("text_models.newsgroups" in written) == handed_over
    pipeline_registry.use(asking("smollm2"))


def test_lora_writes_its_costs_once_and_its_ranks_for_each_target_where_any_are_asked_for() -> None:
    from headstart import pipeline_registry

    parameters, catalog = base_configuration(Path(__file__).parents[2])
    catalog["mine.target"] = {"type": "headstart.datasets.TextFolderDataset", "filepath": "x"}
    usual = {**parameters, "targets": ["newsgroups", "mine"]}
    ranks = {**parameters["text_fine_tuning"], "ranks": [1, 4]}
    probes = {**parameters["text"], "methods": ["linear_probe", "fine_tune"]}
    written = []
    for changed in ({}, {"text_fine_tuning": ranks}, {"text": probes}):
        experiment = read_experiment({**usual, **changed}, catalog)
        pipeline_registry.use(experiment)
        pipelines = pipeline_registry.register_pipelines()
        written_by_lora = [n for n in pipelines["lora"].all_outputs() if not n.startswith(PLANS)]
        found = {name for name in written_by_lora if name.endswith((".costs", "ranks"))}
        written.append(found)
        collected = {n.name: n.inputs for n in pipelines["evaluation"].nodes}
        assert collected["evaluation.collect_lora_costs"] == ["lora.costs"] * (
            "lora.costs" in found
        )
        assert collected["evaluation.collect_lora_ranks"] == ["lora.ranks"] * (
            "lora.ranks" in found
        )
        (report,) = (n for n in pipelines["evaluation"].nodes if "report" in n.outputs)
        assert {"lora_costs", "lora_ranks", "in_context_spread"} <= set(report.inputs)
    costs = {"lora.minilm.costs", "lora.costs"}
    of_ranks = {"lora.newsgroups.minilm.ranks", "lora.mine.minilm.ranks", "lora.ranks"}
    assert written == [costs, costs | of_ranks, set()]
    pipeline_registry.use(read_experiment(parameters, catalog))


def test_ranks_without_draws_of_so_few_labels_are_refused_with_those_there_are() -> None:
    from headstart.pipelines.fine_tuning.text_nodes import try_ranks
    from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters

    parameters, _ = base_configuration(Path(__file__).parents[2])
    asked = {**parameters["text_fine_tuning"], "ranks": [1], "rank_shots": 2}
    texts, rows, _, _ = read_texts(
        "mine", raw([f"text {i}" for i in range(40)], [["b", "a"][i % 2] for i in range(40)])
    )
    splits = split(rows, 0.25, 0)
    with pytest.raises(HeadstartError, match=r"rank_shots: mine has no draws of 2 .* it has 3, 5"):
        try_ranks(
            "tiny",
            "mine",
            texts,
            splits,
            draw(splits, [3, 5], 2, 0.2),
            None,
            None,
            None,
            TextFineTuningParameters.model_validate(asked),
            ComputeParameters(device="cpu", progress=False),
            pd.DataFrame(),
        )


def test_ranks_are_tried_at_the_largest_number_of_labels_that_is_drawn_and_not_above() -> None:
    from headstart.pipelines.fine_tuning.text_nodes import draws_for_ranks
    from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters

    parameters, _ = base_configuration(Path(__file__).parents[2])
    _, rows, _, _ = read_texts(
        "mine", raw([f"text {i}" for i in range(40)], [["b", "a"][i % 2] for i in range(40)])
    )
    drawn = draw(split(rows, 0.25, 0), [1, 3, 5, None], 2, 0.2)
    for asked, taken in ((3, 3), (4, 3), (16, 5)):
        block = {**parameters["text_fine_tuning"], "rank_shots": asked}
        few = draws_for_ranks("mine", drawn, TextFineTuningParameters.model_validate(block))
        assert [(one.shots, one.seed) for one in few] == [(taken, 0), (taken, 1)]


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


def prompted(
    monkeypatch: pytest.MonkeyPatch, drawn: list[Any], most_shots: int, seeds: int = 2
) -> tuple[Oracle, pd.DataFrame]:
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
        draw(splits, drawn, 2, 0.2),
        SimpleNamespace(network=Network(), tokenizer=None),
        InContextStageParameters.model_validate(
            {"most_shots": most_shots, "seeds": seeds, "batch_tokens": 100, "prompt": {}}
        ),
        ComputeParameters(device="cpu", progress=False),
    )
    return oracle, scores


def test_zero_shot_is_asked_once_and_noted_for_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle, scores = prompted(monkeypatch, [3, 5], most_shots=4)
    assert [len(asked["demonstrations"]) for asked in oracle.asked] == [0, 6, 6]
    assert oracle.asked[0]["class_names"] == ["a", "b"]
    accuracy = scores[scores["metric"] == "accuracy"]
    assert (accuracy["value"] == 1).all()  # each seed has the probabilities of its own rows
    found = accuracy[accuracy["split"] == "test"][["shots", "seed", "n_train"]]
    assert found.to_numpy().tolist() == [[0, 0, 0], [0, 1, 0], [3, 0, 6], [3, 1, 6]]


def test_where_all_labels_are_drawn_alone_the_model_is_asked_without_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More seeds are asked for than there are.
    oracle, scores = prompted(monkeypatch, [None], most_shots=4, seeds=3)
    assert [len(asked["demonstrations"]) for asked in oracle.asked] == [0]
    found = scores.loc[scores["split"] == "test", ["shots", "seed"]].drop_duplicates()
    assert found.to_numpy().tolist() == [[0, 0], [0, 1]]
