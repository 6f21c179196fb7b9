"""Every training is behind a check, which asks before any data is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from headstart.errors import HeadstartError
from headstart.experiment import read_experiment
from headstart.fingerprint import code_units
from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import CheckParameters
from headstart.pipelines.checking import NAMESPACE, PLAN_COLUMNS, PLANS
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
# They train, and need no plan of their own: what they train has passed its check before.
AFTER_A_CHECK = {"hand_over": "fits the recommended method again", "costs": "measures single steps"}
COMPUTE = ComputeParameters(device="cpu", parallel_fits=2, progress=False)
PLENTY, LITTLE = {"cpu": 10**11}, {"cpu": 2 * 10**7}


@pytest.fixture(scope="module")
def configuration() -> OmegaConfigLoader:
    return OmegaConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)


@pytest.fixture(scope="module")
def everything(configuration) -> Pipeline:
    """All that can be asked for, in one run."""
    from headstart import pipeline_registry

    parameters = configuration["parameters"]
    text = {**parameters["text"], "asked": ["smollm2", "next_word", "post_training"]}
    text["methods"] = [*text["methods"], "bitfit"]
    every = {**parameters, "targets": ["solar_cells", "newsgroups", "weather"], "text": text}
    every["text_fine_tuning"] = {**parameters["text_fine_tuning"], "ranks": [1, 2]}
    before = pipeline_registry._experiment
    pipeline_registry._experiment = read_experiment(every, configuration["catalog"])
    try:
        return pipeline_registry.register_pipelines()["__default__"]
    finally:
        pipeline_registry._experiment = before


def trains(node: Node) -> bool:
    """Whether the code that a node calls gets to the training loop."""
    return "headstart.learning.training.train" in code_units(node.func)


def test_every_node_that_trains_has_a_plan_among_its_inputs(everything):
    # Centroids share the code of what is meta-trained, and are not.
    training = [
        node
        for node in everything.nodes
        if node.namespace != NAMESPACE and "centroid" not in node.name and trains(node)
    ]
    names = {node.name.split(".")[-1] for node in training}
    assert {"pretrain", "post_train", "fine_tune", "from_scratch", "lora", "bitfit"} <= names
    assert {"ranks", "fit", "pair_gains", *AFTER_A_CHECK} <= names
    unplanned = {
        node.name.split(".")[-1]
        for node in training
        if not any(name.startswith(PLANS) for name in node.inputs)
    }
    assert unplanned == set(AFTER_A_CHECK)


def test_checks_load_no_data(everything):
    checks = [node for node in everything.nodes if node.namespace == NAMESPACE]
    assert len(checks) == len({node.name for node in checks})
    for node in checks:
        for name in node.inputs:
            assert (
                name.startswith("params:")
                or name.endswith((".configuration", ".columns"))
                or name == "planning.device_memory"
            ), (node.name, name)


def test_checks_come_before_everything_else(everything):
    order = [node.namespace == NAMESPACE for node in everything.nodes]
    without_tables = [
        node.namespace == NAMESPACE
        for node in everything.nodes
        if not any(name.endswith(".columns") for name in node.inputs)
    ]
    assert any(order)
    assert without_tables == sorted(without_tables, reverse=True)


@pytest.fixture(scope="module")
def check(configuration, everything):
    """Calls the check of a training by its name, with parameters as they are shipped."""
    from headstart.learning.pretext.parameters import PretrainingParameters
    from headstart.learning.text.pretraining_parameters import TextPretrainingTasks
    from headstart.pipelines.fine_tuning.parameters import FineTuningParameters
    from headstart.pipelines.fine_tuning.text_parameters import TextFineTuningParameters
    from headstart.pipelines.ingestion.parameters import (
        FewShotIngestionParameters,
        IngestionParameters,
    )
    from headstart.pipelines.meta_learning.parameters import MetaLearningParameters
    from headstart.pipelines.multi_task.parameters import MultiTaskParameters
    from headstart.pipelines.representation.parameters import RepresentationParameters

    blocks = {
        "few_shot_ingestion": FewShotIngestionParameters,
        "fine_tuning": FineTuningParameters,
        "ingestion": IngestionParameters,
        "meta_learning": MetaLearningParameters,
        "multi_task": MultiTaskParameters,
        "pretraining": PretrainingParameters,
        "representation": RepresentationParameters,
        "text_fine_tuning": TextFineTuningParameters,
        "text_pretraining": TextPretrainingTasks,
    }
    bert = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 30_000}
    llama = {**bert, "model_type": "llama", "num_attention_heads": 4, "intermediate_size": 64}
    models = {
        "pretrained.minilm.configuration": {
            **bert,
            **{"num_attention_heads": 4, "intermediate_size": 64},
        },
        "pretrained.smollm2.configuration": llama,
        "ingestion.weather.columns": {
            **{"features": ["a", "b", "c"], "tasks": ["x", "y", "z"], "classes": None},
        },
    }
    nodes = {node.name: node for node in everything.nodes if node.namespace == NAMESPACE}

    def call(name: str, memory: dict[str, int], **changes: Any) -> pd.DataFrame:
        node = nodes[f"{NAMESPACE}.{name}"]
        given: dict[str, Any] = {}
        for argument, source in node._inputs.items():  # type: ignore[union-attr]
            if source.startswith("params:"):
                first, *rest = source.removeprefix("params:").split(".")
                if first in blocks:
                    given[argument] = blocks[first].model_validate(
                        configuration["parameters"][first]
                    )
                    for part in rest:
                        given[argument] = getattr(given[argument], part)
            elif source in models:
                given[argument] = models[source]
        given |= {"memory": memory, "check": CheckParameters(), "compute": COMPUTE}
        return node.func(**{**given, **changes})

    return call, sorted(name.removeprefix(f"{NAMESPACE}.") for name in nodes)


def test_every_check_passes_with_plenty_of_memory(check):
    call, names = check
    slow = ("imagenet", "jigsaw", "colorization", "inpainting", "supervised")  # seconds each
    for name in names:
        if name.endswith(slow):
            continue
        plan = call(name, PLENTY)
        assert plan.columns.tolist() == PLAN_COLUMNS, name
        if name.startswith("meta_learning_") and name.endswith("from_scratch"):
            assert plan.empty  # it is not meta-trained
            continue
        (row,) = plan.to_dict("records")
        parts = sum(row[part] for part in ("weights", "gradients", "optimizer", "activations"))
        assert parts == pytest.approx(row["peak_bytes"], abs=4), name
        assert row["batch"] >= 2


def test_a_training_that_does_not_fit_is_refused_with_advice(check):
    call, _ = check
    with pytest.raises(HeadstartError) as told:
        call("fine_tuning_fine_tune_pretext", LITTLE)
    message = str(told.value)
    assert message.startswith("fine_tuning.fine_tune: a step on 32 examples needs ")
    assert "not even one example would fit" in message  # weights and moments alone are 20 MB
    with pytest.raises(HeadstartError, match=r"a batch of \d+ would fit; .*linear_probe \("):
        call("fine_tuning_fine_tune_pretext", {"cpu": 10**8})
    with pytest.raises(HeadstartError, match=r"fine_tune: .*lora \(.*bitfit \("):
        call("fine_tuning_text_fine_tune", {"cpu": 2 * 10**7})
    with pytest.raises(HeadstartError, match=r"maml, glyphs: .*so would \d+ filters \("):
        call("meta_learning_glyphs_maml", {"cpu": 2 * 10**7})
    with pytest.raises(HeadstartError, match=r"sinusoids.*maml: a step on \d+ tasks needs"):
        call("meta_learning_sinusoids_maml", {"cpu": 10**6})
    with pytest.raises(HeadstartError, match=r"separate on weather: .*a batch_size of \d+ would"):
        call("multi_task_weather_separate", {"cpu": 4 * 10**5})


def test_the_margin_and_the_workers_count(check):
    call, _ = check
    peak = int(call("fine_tuning_fine_tune_pretext", PLENTY)["peak_bytes"].iloc[0])
    enough = {"cpu": int(2 * peak / 0.9) + 100}  # two at a time, a tenth kept free
    call("fine_tuning_fine_tune_pretext", enough)
    with pytest.raises(HeadstartError, match="for each of 2 at a time"):
        call("fine_tuning_fine_tune_pretext", enough, check=CheckParameters(margin=0.2))
    given = CheckParameters(memory_gb=1e-3)
    with pytest.raises(HeadstartError, match=r"there are 0\.00 GB"):
        call("fine_tuning_fine_tune_pretext", PLENTY, check=given)


def test_a_batch_in_pieces_needs_less(check):
    call, _ = check
    pieces = COMPUTE.model_copy(update={"gradient_accumulation": 4})
    plan = call("fine_tuning_fine_tune_pretext", PLENTY, compute=pieces)
    assert plan["batch"].iloc[0] == 8
    # Every view is compared with all others: such a batch is not cut.
    assert call("pretraining_contrastive", PLENTY, compute=pieces)["batch"].iloc[0] == 64


def test_switched_off_nothing_is_checked(check):
    call, names = check
    for name in names:
        assert call(name, {"cpu": 0}, check=CheckParameters(enabled=False)).empty


def test_the_plan_says_nothing_of_the_machine(check):
    call, _ = check
    one, other = (call("fine_tuning_fine_tune_pretext", {"cpu": 10**n}) for n in (10, 11))
    pd.testing.assert_frame_equal(one, other)


def test_a_run_that_does_not_fit_stops_before_its_data_is_loaded(project, kedro):
    done = kedro(
        project,
        *(
            "run",
            "--env",
            "test",
            "--params",
            "planning.check.enabled=true,planning.check.memory_gb=0.05",
        ),
    )
    assert done.returncode == 1
    told = " ".join((done.stdout + done.stderr).split())
    assert "fine_tuning.fine_tune: a step on 16 examples needs" in told
    assert "linear_probe" in told
    assert "Traceback" not in told
    assert not (project / "data/test/03_primary").exists()
    assert not list((project / "data/test").rglob("*.safetensors"))
