"""With the extra `mlflow`, in an environment of its own, a run is logged and its models load.

Takes some minutes: `uv run pytest -m own_environment tests/tracking`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ..own_environment import of_project, run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.own_environment

# Writes what stands in the store, and what its models say, as the last line.
READ = """
import json, sys
import mlflow, numpy, pandas
mlflow.set_tracking_uri("sqlite:///mlflow.db")
experiment = mlflow.get_experiment_by_name("headstart").experiment_id
runs = mlflow.search_runs([experiment], output_format="list")
run, said = runs[0], {}
for model in mlflow.search_logged_models([experiment], output_format="list"):
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    wanted = loaded.metadata.signature.inputs.to_dict()
    if model.name == "faces":
        examples = numpy.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=numpy.uint8)
        refused = examples.astype(numpy.float32)
    else:
        examples = pandas.DataFrame({"text": ["the moon and the shuttle", "a doctor and a pill"]})
        refused = examples.rename(columns={"text": "words"})
    try:
        loaded.predict(refused)
        raise SystemExit("the signature was not enforced")
    except mlflow.exceptions.MlflowException:
        pass
    said[model.name] = {
        "inputs": wanted,
        "answers": loaded.predict(examples).to_dict("list"),
        "of_run": model.source_run_id == run.info.run_id,
    }
files = [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)]
print(json.dumps({
    "runs": len(runs), "metrics": run.data.metrics, "params": run.data.params,
    "tags": run.data.tags, "files": files, "models": said,
}))
"""


def test_a_run_is_logged_once_and_its_models_load(project, tmp_path):
    (project / "README.md").write_text((ROOT / "README.md").read_text())
    parameters = {
        "targets": ["faces", "newsgroups"],
        "representations": ["pixels"],
        "methods": ["linear_probe", "from_scratch"],
        "fine_tuned": [],
        "few_shot": {"families": ["sinusoids"]},
        "text": {"representations": ["minilm"], "methods": ["linear_probe", "from_scratch"]},
    }
    (project / "conf/test/parameters.yml").write_text(yaml.safe_dump(parameters))
    commands = of_project(tmp_path / "environment", project, "mlflow")
    said = run(commands / "kedro", "run", "--env", "test", cwd=project)
    assert "The results are MLflow run" in said
    said = run(commands / "kedro", "run", "--env", "test", cwd=project)
    assert "already" in said
    # A part of the project makes no run of its own.
    run(commands / "kedro", "run", "--env", "test", "--pipelines", "probing", cwd=project)

    seen = json.loads(run(commands / "python", "-c", READ, cwd=project).splitlines()[-1])
    assert seen["runs"] == 1
    answers = json.loads((project / "data/test/08_reporting/recommendations.json").read_text())
    for target, answer in answers.items():
        assert seen["metrics"][f"{target}/{answer['metric']}"] == answer["test_mean"]
        assert seen["metrics"][f"{target}/gain_low"] == answer["gain_low"]
        assert seen["tags"][f"{target}.recommended"].endswith(answer["method"])
    assert seen["params"]["draws.seeds"] == "2"
    assert seen["params"]["ingestion.image_size"] == "32"
    assert set(seen["files"]) == {
        *("report.html", "leaderboard.csv", "recommendations.json"),
        *("model_card_faces.md", "model_card_newsgroups.md"),
    }
    faces, texts = seen["models"]["faces"], seen["models"]["newsgroups"]
    assert faces["of_run"]
    assert texts["of_run"]
    assert faces["inputs"][0]["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 32, 32, 1]}
    assert len(faces["answers"]["label"]) == 3
    assert texts["answers"]["label"] == ["space", "medicine"]
    # Nothing pickled, and no lock file, which has addresses in it.
    kinds = {file.suffix for file in (project / "mlruns").rglob("*") if file.is_file()}
    assert not kinds & {".pkl", ".pickle", ".bin", ".lock"}
