"""The DAG that is made for Airflow: what its tasks run, in which order, on which machines.

Airflow itself is another environment's (test_airflow.py); a recorder stands in for it here.
"""

from __future__ import annotations

import graphlib
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from headstart import pipeline_registry
from headstart.experiment import read_experiment
from headstart.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]
TEMPLATE = "orchestration/dag.py.j2"


class Task:
    """Keeps what a BashOperator is made with."""

    def __init__(self, **arguments: Any):
        self.arguments = arguments
        self.before: set[str] = set()

    def set_upstream(self, others: list[Task]) -> None:
        self.before |= {other.arguments["task_id"] for other in others}

    @property
    def nodes(self) -> list[str]:
        words = shlex.split(self.arguments["bash_command"])
        return words[words.index("--nodes") + 1].split(",") if "--nodes" in words else []


def loaded(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Task]]:
    """The arguments of the DAG and its tasks, as Airflow would see them."""
    dags: list[dict[str, Any]] = []
    tasks: dict[str, Task] = {}

    class Dag:
        def __init__(self, **arguments: Any):
            dags.append(arguments)

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def operator(**arguments: Any) -> Task:
        assert arguments["task_id"] not in tasks
        return tasks.setdefault(arguments["task_id"], Task(**arguments))

    for name, content in {
        "airflow": {},
        "airflow.sdk": {"DAG": Dag},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.bash": {"BashOperator": operator},
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(file.read_text(), str(file), "exec"), {})
    (dag,) = dags
    return dag, tasks


@pytest.fixture(params=["local", "test"])
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loader(environment: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(str(ROOT / "conf"), env=environment, **CONFIG_LOADER_ARGS)


@pytest.fixture
def pipeline(loader: OmegaConfigLoader, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    experiment = read_experiment(loader["parameters"], loader["catalog"])
    monkeypatch.setattr(pipeline_registry, "_experiment", experiment)
    return pipeline_registry.register_pipelines()["__default__"]


@pytest.fixture
def create(kedro, project):
    """Makes the DAG of an environment with the documented command."""
    shutil.copytree(ROOT / "orchestration", project / "orchestration")

    def go(name: str, *options: str, **default: Any) -> Path:
        if default:
            file = project / "conf" / name / "airflow.yml"
            file.write_text(yaml.safe_dump({"default": default}))
        done = kedro(project, "airflow", "create", "-e", name, "-j", TEMPLATE, *options)
        assert done.returncode == 0, done.stderr
        (made,) = (project / "airflow_dags").glob("*.py")
        return made

    return go


def test_every_node_is_in_one_task_and_after_what_it_reads(
    create, environment, pipeline, monkeypatch
):
    dag, tasks = loaded(create(environment), monkeypatch)
    assert dag["dag_id"] == ("headstart" if environment == "local" else f"headstart_{environment}")
    assert dag["schedule"] is None
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    last = tasks.pop("whole_run")
    assert last.before == set(tasks)
    assert last.nodes == []
    task_of = {node: name for name, task in tasks.items() for node in task.nodes}
    assert sorted(n for task in tasks.values() for n in task.nodes) == sorted(
        node.name for node in pipeline.nodes
    )
    for node, parents in pipeline.node_dependencies.items():
        own = task_of[node.name]
        assert {task_of[p.name] for p in parents} - {own} <= tasks[own].before
    graphlib.TopologicalSorter({name: task.before for name, task in tasks.items()}).prepare()
    # One task a stage and target, and one a stage for what puts the targets together.
    assert all(len(name.split(".")) <= 2 for name in tasks)
    assert {"pretraining.faces", "fine_tuning.faces", "fine_tuning", "evaluation"} <= set(tasks)


def test_nothing_is_passed_from_node_to_node_in_memory(loader, pipeline):
    catalog = DataCatalog.from_config(loader["catalog"])
    for name in pipeline.all_outputs():
        assert hasattr(catalog.get(name), "_filepath"), name


def test_configuration_decides_where_when_and_on_what(create, monkeypatch):
    file = create(
        "test",
        project_path="/data/it's here",
        command="docker run headstart kedro run",
        environment={"OMP_NUM_THREADS": "2"},
        schedule="0 5 * * 1",
        retries=5,
        gpu={"queue": "a100", "executor_config": {"pod_template_file": None}},
    )
    dag, tasks = loaded(file, monkeypatch)
    assert dag["schedule"] == "0 5 * * 1"
    assert dag["default_args"]["retries"] == 5
    assert {task.arguments["cwd"] for task in tasks.values()} == {"/data/it's here"}
    command = tasks["evaluation"].arguments["bash_command"]
    assert command.startswith("docker run headstart kedro run --env test --pipelines __default__")
    assert tasks["evaluation"].arguments["env"] == {"OMP_NUM_THREADS": "2"}
    # What an environment does not say stands in conf/base.
    on_gpu = {name for name, task in tasks.items() if task.arguments.get("pool") == "gpu"}
    assert on_gpu == {
        *("pretraining.faces", "pretraining.photographs", "representation.faces"),
        *("fine_tuning.faces", "prediction.faces"),
    }
    for name in on_gpu:
        assert tasks[name].arguments["queue"] == "a100"
        assert tasks[name].arguments["executor_config"] == {"pod_template_file": None}


def test_another_pipeline_is_a_dag_of_its_own(create, monkeypatch):
    dag, tasks = loaded(create("test", "--pipelines", "planning"), monkeypatch)
    assert dag["dag_id"] == "headstart_test_planning"
    assert list(tasks) == ["planning"]
    assert "--pipelines planning" in tasks["planning"].arguments["bash_command"]
