"""What a user can get wrong ends in one clear message and exit code 1, never in a traceback."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from PIL import Image

from headstart.cli import run


def write_images(folder: Path, classes: dict[str, int], seed: int = 0) -> Path:
    """A folder with one sub-folder a class: noise around a level of gray that tells the class."""
    rng = np.random.default_rng(seed)
    for level, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.normal(60 + 90 * level, 30, size=(24, 24, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def local(project: Path, name: str, content: dict[str, object]) -> None:
    """A file in the environment `test` on top of what stands there, as a user's own would be."""
    path = project / "conf" / "test" / name
    before = yaml.safe_load(path.read_text()) if path.exists() else {}
    path.write_text(yaml.safe_dump({**before, **content}))


def refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """The command failed with code 1 and one short message that holds all the words."""
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert said.count("Error: ") == 1, said
    message = said[said.index("Error: ") :]
    assert len(message) < 1500
    for word in words:
        assert word in message, message
    return message


def test_a_missing_folder(kedro, project):
    done = kedro(project, "run", "--env", "test", "--params", "targets=my_parts")
    refused(done, "my_parts", "does not exist")


def test_one_class_only(kedro, project):
    write_images(project / "data/01_raw/my_parts", {"sound": 12})
    done = kedro(project, "run", "--env", "test", "--params", "targets=my_parts")
    refused(done, "my_parts", "one class", "sound")


def test_more_shots_than_labels(kedro, project):
    write_images(project / "data/01_raw/my_parts", {"sound": 12, "defective": 9})
    local(project, "parameters_ingestion.yml", {"draws": {"shots": [1, 500]}})
    done = kedro(project, "run", "--env", "test", "--params", "targets=my_parts")
    refused(done, "my_parts", "500", "defective")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("methods=liner_probe", ["liner_probe", "linear_probe"]),
        ("represntations=pca", ["represntations", "representations"]),
        ("fine_tuning.seed=3", ["fine_tuning", "seed"]),
        ("compute.precision=fp8", ["compute", "precision", "fp8"]),
        ("pretraining.sources.colorization=paintings", ["'paintings.source'", "catalog"]),
        ("pretraining.sources.colorisation=photographs", ["colorisation", "Known: rotation"]),
        ("pretraining.rotaton.seed=1", ["pretraining.rotaton: Extra inputs"]),
        ("representations=rotaton", ["did you mean 'rotation'"]),
        ("targets=my parts", ["my parts", "underscores"]),
    ],
)
def test_misspelt_parameters_are_refused_before_anything_runs(kedro, project, parameters, words):
    done = kedro(project, "run", "--env", "test", "--params", parameters)
    refused(done, *words)
    assert not list((project / "data").rglob("*.parquet"))


def test_an_unknown_pipeline(kedro, project):
    done = kedro(project, "run", "--env", "test", "--pipelines", "predictions")
    refused(done, "predictions", "prediction")


def with_weights(kedro, project: Path, weights: Path) -> subprocess.CompletedProcess[str]:
    """Make the encoder `imagenet` of another weights file."""
    entry = {"type": "headstart.datasets.TorchWeightsDataset", "filepath": str(weights)}
    local(project, "catalog.yml", {"pretrained.imagenet": entry})
    encoder = "representation.faces.imagenet.encoder"
    return kedro(project, "run", "--env", "test", "--nodes", encoder)


def test_a_corrupt_weights_file(kedro, project):
    weights = project / "broken.pth"
    weights.write_bytes(b"\x80\x02not the weights")
    refused(with_weights(kedro, project, weights), "broken.pth")


def test_a_weights_file_of_another_network(kedro, project):
    import torch

    weights = project / "other.pth"
    torch.save({"layer.weight": torch.zeros(3, 3)}, weights)
    refused(with_weights(kedro, project, weights), "not one of efficientnet_lite0")


def test_a_full_disk(kedro, project, tmp_path):
    disk = tmp_path / "small_disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted only with the rights to do so")
    try:
        local(project, "globals.yml", {"data": str(disk)})
        done = kedro(project, "run", "--env", "test", "--pipelines", "ingestion")
        refused(done, "No space left on device", "run again")
        assert not list(disk.rglob("*.npy"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_without_a_readable_image_cannot_be_predicted(kedro, project, test_run):
    shutil.copytree(test_run / "data", project / "data", dirs_exist_ok=True)
    folder = project / "texts"
    folder.mkdir()
    (folder / "a.png").write_text("this is not an image")
    done = kedro(
        *(project, "run", "--env", "test", "--pipelines", "prediction", "--params"),
        f"prediction.target=faces,prediction.images={folder}",
    )
    refused(done, "texts", "image")


def test_predicting_before_there_is_a_model(kedro, project):
    write_images(project / "data/01_raw/new_images", {"any": 1})
    done = kedro(project, "run", "--env", "test", "--pipelines", "prediction")
    refused(done, "06_models", "kedro run")


def test_help_says_what_to_type(kedro, project):
    done = kedro(project, "run", "--help")
    assert done.returncode == 0
    assert "--params targets=my_parts" in done.stdout
    for option in ("--force", "--explain", "--wait"):
        assert option in done.stdout


@pytest.mark.parametrize("option", ["--force", "--explain", "--wait"])
def test_options_of_the_projects_runner_go_with_no_other(kedro, project, option):
    done = kedro(project, "run", "--env", "test", option, "--runner", "SequentialRunner")
    assert done.returncode != 0
    assert f"{option} goes with the project's own runner alone" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", {}),
        ("targets=faces", {"targets": "faces"}),
        (
            "draws.shots=[1, 5],targets=[faces,newsgroups],draws.seeds=3",
            {"draws": {"shots": [1, 5], "seeds": 3}, "targets": ["faces", "newsgroups"]},
        ),
        ("a.b=[[1,2],[3]],a.c={x: 1, y: 2}", {"a": {"b": [[1, 2], [3]], "c": {"x": 1, "y": 2}}}),
    ],
)
def test_lists_are_parameters_too(given: str, meant: dict[str, object]) -> None:
    with run.make_context("run", ["--params", given]) as context:
        assert context.params["params"] == meant


@pytest.mark.parametrize("given", ["targets", "targets=faces,[1,2]", "=[1,2]"])
def test_what_is_no_parameter_is_a_usage_error(given: str) -> None:
    with pytest.raises(click.UsageError, match=r"="):
        run.make_context("run", ["--params", given])
