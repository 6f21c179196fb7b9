"""The planning stage: its nodes, its configuration, and a run of it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.config import OmegaConfigLoader

from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.gpu_catalogue import gpus_of
from headstart.learning.planning.parameters import PlanningParameters
from headstart.pipelines.planning import create_pipeline
from headstart.pipelines.planning.figure import COLORS, bar_labels
from headstart.pipelines.planning.nodes import draw_memory, plan, write_page
from headstart.pipelines.planning.page import readable_bytes, readable_seconds
from headstart.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]
SMALL = {
    "models": {
        "mine": {"network": "small_resnet", "image_size": 32},
        "a <b>": {"transformers": "named", "tokens": 8},
    },
    "methods": {"adam": {"kind": "full"}, "frozen": {"kind": "frozen"}},
    "plans": [
        {
            **{"models": ["mine", "a <b>"], "methods": ["adam", "frozen"]},
            **{"precisions": ["fp32"], "batches": [4]},
        }
    ],
    "gpus": {"names": ["L4", "mine"]},
}
BERT = {
    **{"model_type": "bert", "hidden_size": 16, "intermediate_size": 16, "vocab_size": 50},
    **{"num_hidden_layers": 2, "num_attention_heads": 2},
}


@pytest.fixture(scope="module")
def catalogue() -> pd.DataFrame:
    own = ["mine", 0.001, 10, 1, 1, "measured"]  # a row of the user's
    table = pd.read_csv(ROOT / "conf" / "base" / "gpus.csv")
    return pd.concat([table, pd.DataFrame([own], columns=table.columns)], ignore_index=True)


@pytest.fixture(scope="module")
def tables(catalogue):
    parameters = PlanningParameters.model_validate(SMALL)
    return plan(catalogue, {"named": BERT}, parameters, ComputeParameters(progress=False))


def test_the_shipped_catalogue_is_sound(catalogue):
    gpus = {gpu.name: gpu for gpu in gpus_of(catalogue)}
    assert {"A100", "H100", "H200", "L40", "L4", "B100", "B200", "RTX 4090", "T4"} <= set(gpus)
    assert catalogue["source"].str.len().gt(3).all()
    for name, gpu in gpus.items():
        if name != "mine":
            assert gpu.memory < 200 * 2**30  # the lecture: they end below 200 GB
            assert gpu.single < gpu.half
            assert 50 < gpu.half / gpu.bandwidth < 500


def test_a_gpu_of_the_users_is_planned_for(tables):
    _, gpus = tables
    assert set(gpus["gpu"]) == {"L4", "mine"}
    adam = gpus.query("model == 'mine' and method == 'adam'").set_index("gpu")
    assert adam.loc["L4", "fits"]
    assert not adam.loc["mine", "fits"]  # a megabyte


def test_the_picture_has_a_panel_a_model_and_a_color_a_part(tables):
    memory, _ = tables
    figure = draw_memory(memory)
    drawn = {(trace.name, trace.yaxis): trace for trace in figure.data}
    assert {name for name, _ in drawn} == set(COLORS)
    assert len({axis for _, axis in drawn}) == 2
    total = sum(sum(trace.x) for trace in figure.data)
    assert total == pytest.approx(memory["bytes"].sum() / 1e9)
    labels = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(labels) == sorted(COLORS)


def test_the_page_opens_without_a_network_and_escapes_names(tables):
    memory, gpus = tables
    page = write_page(draw_memory(memory), memory, gpus)
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)
    tables_only = page[page.index("<h2>On each GPU</h2>") :]
    assert "a &lt;b&gt;" in tables_only
    assert "<b>" not in tables_only
    assert tables_only.count("<details>") == 4


def test_labels_tell_trainings_apart():
    table = pd.DataFrame(
        {"method": ["adam", "adam"], "precision": ["fp16", "fp16"], "batch": [1, 1]}
    ).assign(gradient_checkpointing=[True, False])
    assert bar_labels(table).tolist() == ["adam, fp16, batch 1, recomputed", "adam, fp16, batch 1"]


def test_numbers_are_in_the_unit_that_suits_them():
    assert [readable_bytes(n) for n in (12, 3.2e6, 1.25e12)] == ["12 B", "3.2 MB", "1.25 TB"]
    assert [readable_seconds(n) for n in (0.0123, 12.34, 6000)] == ["12.3 ms", "12.3 s", "100 min"]


def test_it_is_no_part_of_the_default_run():
    from headstart.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    nodes = {node.name for node in create_pipeline().nodes}
    assert nodes == {node.name for node in pipelines["planning"].nodes}
    assert not nodes & {node.name for node in pipelines["__default__"].nodes}


def test_the_shipped_plans_are_understood():
    parameters = OmegaConfigLoader(str(ROOT / "conf"), env="base", **CONFIG_LOADER_ARGS)
    planned = PlanningParameters.model_validate(parameters["parameters"]["planning"])
    assert "gpt3" in planned.models
    assert {"lora_1", "lora_4", "qlora_4", "adam8bit"} <= set(planned.methods)


def test_a_run_writes_every_file(project, kedro):
    small = {"planning": {**SMALL, "gpus": {**SMALL["gpus"], "names": ["L4"]}}}
    small["planning"]["models"] = {"mine": SMALL["models"]["mine"]}
    small["planning"]["plans"] = [{**SMALL["plans"][0], "models": ["mine"]}]
    (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(small))
    done = kedro(project, "run", "--pipelines", "planning")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    reports = project / "data" / "08_reporting"
    memory = pd.read_parquet(reports / "memory_plan.parquet")
    assert {"model", "method", "precision", "batch", "part", "bytes"} <= set(memory)
    gpus = pd.read_csv(reports / "gpu_plan.csv")
    wanted = {"model", "method", "gpu", "fits", "gpus_needed", "largest_batch", "step_seconds"}
    assert wanted <= set(gpus)
    assert (reports / "memory_plan.json").is_file()
    assert "<details>" in (reports / "memory_plan.html").read_text()


def test_a_run_with_an_unknown_gpu_ends_in_one_message(project, kedro):
    changed = {"planning": {**SMALL, "gpus": {"names": ["H1000"]}}}
    (project / "conf" / "local" / "parameters.yml").write_text(yaml.safe_dump(changed))
    done = kedro(project, "run", "--pipelines", "planning")
    assert done.returncode == 1
    told = " ".join((done.stdout + done.stderr).split())
    assert "the catalogue has no 'H1000'" in told
    assert "Traceback" not in told
