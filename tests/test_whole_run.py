"""Whole runs of the test environment: what they leave, that they repeat, resume and skip."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.learning.fits import RESULT_COLUMNS
from headstart.learning.leaderboard import LEADERBOARD_COLUMNS

REPORTING = Path("data/test/08_reporting")
# Time and memory are measured anew by every run; all else is the same, bit for bit.
MEASURED = ["train_seconds", "peak_memory_bytes"]


def results_of(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / REPORTING / "results.parquet").drop(columns=MEASURED)


@pytest.fixture
def finished(project: Path, test_run: Path) -> Path:
    """A copy of the finished run that a test may change."""
    shutil.rmtree(project / "data", ignore_errors=True)
    shutil.copytree(test_run / "data", project / "data")
    return project


def test_a_run_leaves_results_leaderboard_and_report(test_run):
    results = pd.read_parquet(test_run / REPORTING / "results.parquet")
    assert results.columns.tolist() == RESULT_COLUMNS
    assert set(results["method"]) == {
        "linear_probe",
        "nearest_neighbors",
        "fine_tune",
        "from_scratch",
    }
    pretext = {"rotation", "jigsaw", "colorization", "inpainting", "contrastive"}
    others = {"pixels", "pca", "random", "imagenet", "imagenet_untrained"}
    assert set(results["representation"]) == pretext | others
    scores = pd.read_parquet(test_run / REPORTING / "pretext_scores.parquet")
    assert scores["task"].tolist()[0] == "rotation"
    assert set(scores["task"]) == pretext | {"supervised"}
    # Faces have no source with labels of its own.
    assert scores.loc[scores["left_out"].notna(), "task"].tolist() == ["supervised"]
    qualities = pd.read_parquet(test_run / REPORTING / "qualities.parquet")
    assert set(qualities["representation"]) == (pretext | others) - {"imagenet_untrained"}
    assert results["value"].notna().all()
    assert (results.groupby(["representation", "method", "shots", "metric"], dropna=False)["seed"]
            .nunique() == 2).all()  # fmt: skip
    board = pd.read_csv(test_run / REPORTING / "leaderboard.csv")
    assert board.columns.tolist() == LEADERBOARD_COLUMNS
    report = (test_run / REPORTING / "report.html").read_text(encoding="utf-8")
    assert "<html" in report
    assert "</html>" in report
    card = (test_run / REPORTING / "model_card_faces.md").read_text(encoding="utf-8")
    assert "--params prediction.target=faces,prediction.images=" in card
    quarantine = pd.read_parquet(test_run / REPORTING / "quarantine.parquet")
    assert quarantine.columns.tolist() == ["target", "role", "path", "reason"]


def test_the_leaderboard_is_made_of_the_results(test_run):
    results = pd.read_parquet(test_run / REPORTING / "results.parquet")
    board = pd.read_csv(test_run / REPORTING / "leaderboard.csv")
    row = board[(board["method"] == "fine_tune") & (board["metric"] == "accuracy")].iloc[0]

    def values(method: str, representation: str) -> np.ndarray:
        at = results[
            (results["method"] == method)
            & (results["representation"] == representation)
            & (results["metric"] == "accuracy")
        ]
        shots = at["shots"].isna() if pd.isna(row["shots"]) else at["shots"] == row["shots"]
        return at[shots].sort_values("seed")["value"].to_numpy()

    assert row["mean"] == pytest.approx(values("fine_tune", row["representation"]).mean())
    own, scratch = (
        values("fine_tune", row["representation"]),
        values("from_scratch", row["baseline"]),
    )
    assert row["gain"] == pytest.approx((own - scratch).mean())


@pytest.mark.slow  # killed runs are compared with undisturbed ones in any case
def test_another_run_gives_the_same_results_value_for_value(kedro, project, test_run):
    done = kedro(project, "run", "--env", "test")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(results_of(project), results_of(test_run), check_exact=True)


def test_a_second_run_does_nothing(kedro, finished):
    before = (finished / REPORTING / "results.parquet").read_bytes()
    done = kedro(finished, "run", "--env", "test")
    assert done.returncode == 0, done.stderr
    assert "nodes were unchanged" in done.stdout
    assert "(new)" not in done.stdout
    assert "changed)" not in done.stdout
    assert (finished / REPORTING / "results.parquet").read_bytes() == before


def test_a_changed_parameter_reruns_its_stage_and_what_depends_on_it(kedro, finished):
    done = kedro(
        *(finished, "run", "--env", "test", "--params"),
        "probing.nearest_neighbors.temperature=0.2",
    )
    assert done.returncode == 0, done.stderr
    assert "probing.faces.imagenet.nearest_neighbors (parameter probing." in done.stdout
    assert "evaluation.collect_scores" in done.stdout
    for untouched in ("ingestion.", "representation.", "fine_tuning.", "pretraining."):
        assert untouched not in done.stdout


def test_a_pretext_tasks_learning_rate_reruns_it_and_what_depends_on_it(kedro, finished):
    done = kedro(
        *(finished, "run", "--env", "test", "--params"),
        "pretraining.jigsaw.training.learning_rate=0.001",
    )
    assert done.returncode == 0, done.stderr
    ran = {line.split()[1] for line in done.stdout.splitlines() if re.match(r"\d+/\d+ ", line)}
    assert "pretraining.faces.jigsaw.pretrain" in ran
    assert "fine_tuning.faces.jigsaw.fine_tune" in ran
    for stage in ("pretraining.faces", "representation.faces", "probing.faces"):
        others = {name for name in ran if name.startswith(stage)}
        assert all(name.startswith(f"{stage}.jigsaw.") for name in others), others


def explained(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Node -> why it would run."""
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(\S+\.\S+) +(run|skip) +(.+)$", done.stdout, re.MULTILINE)
    assert len(found) > 50
    return {name: why for name, what, why in found if what == "run"}


def test_an_edited_function_reruns_who_calls_it_and_what_depends_on_that(kedro, finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "data").rglob("*")}
    file = finished / "src/headstart/learning/nearest_neighbors.py"
    text = file.read_text()
    definition = "def fit_nearest_neighbors("
    assert definition in text
    file.write_text(text.replace(definition, f"# A comment.\n\n\n{definition}"))
    assert explained(kedro(finished, "run", "--env", "test", "--explain")) == {}
    file.write_text(text.replace(definition, f"@staticmethod\n{definition}"))
    ran = explained(kedro(finished, "run", "--env", "test", "--explain"))
    why = "code headstart.learning.nearest_neighbors.fit_nearest_neighbors changed"
    edited = {name for name, reason in ran.items() if reason == why}
    assert "probing.faces.imagenet.nearest_neighbors" in edited
    assert all(name.endswith((".nearest_neighbors", ".hand_over")) for name in edited)
    assert ran["probing.collect_scores"].startswith("input probing.faces.")
    assert ran["probing.collect_scores"].endswith("nearest_neighbors_scores will be made anew")
    for untouched in ("ingestion.", "pretraining.", "representation.", "fine_tuning."):
        assert not [name for name in ran if name.startswith(untouched)]
    after = {path: path.stat().st_mtime_ns for path in (finished / "data").rglob("*")}
    assert after == before


def test_a_damaged_feature_file_is_noticed_and_made_again(kedro, finished):
    file = finished / "data/test/04_feature/faces/pca.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = kedro(finished, "run", "--env", "test", "--pipelines", "representation")
    assert done.returncode == 0, done.stderr
    assert "representation.faces.pca.extract (output" in done.stdout
    assert file.read_bytes() == whole


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_results(project, test_run, kedro):
    rng = random.Random(0)
    command = [sys.executable, "-m", "kedro", "run", "--env", "test"]
    for _ in range(4):
        run = subprocess.Popen(
            command,
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(4, 14))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    done = kedro(project, "run", "--env", "test")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(results_of(project), results_of(test_run), check_exact=True)
    assert not list((project / "data").rglob("*.partial"))


def test_the_users_own_folder_gives_a_report_and_predictions(kedro, project):
    skimage = pytest.importorskip("skimage.data")
    rng = np.random.default_rng(0)
    for texture in ("brick", "grass", "gravel"):
        photograph = getattr(skimage, texture)()
        for part in ("01_raw/my_photos", "new"):
            folder = project / "data" / part / texture
            folder.mkdir(parents=True)
            for i in range(12):
                # Old pictures from the upper half of the photograph, new ones from the lower.
                y = rng.integers(0, 192) + (256 if part == "new" else 0)
                x = rng.integers(0, 448)
                Image.fromarray(photograph[y : y + 64, x : x + 64]).save(folder / f"{i}.png")
    (project / "data/01_raw/my_photos/grass/notes.txt").write_text("taken on a Sunday")
    done = kedro(project, "run", "--env", "test", "--params", "targets=my_photos")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / REPORTING / "report.html").stat().st_size > 100_000
    quarantine = pd.read_parquet(project / REPORTING / "quarantine.parquet")
    assert quarantine[["path", "reason"]].to_numpy().tolist() == [
        ["grass/notes.txt", "not an image"]
    ]

    done = kedro(
        *(project, "run", "--env", "test", "--pipelines", "prediction", "--params"),
        f"prediction.target=my_photos,prediction.images={project / 'data/new'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(project / "data/test/07_model_output/predictions_my_photos.parquet")
    assert table.columns.tolist() == ["path", "label", "probability"]
    assert len(table) == 36
    truth = table["path"].str.split("/").str[0]
    assert (table["label"] == truth).mean() > 0.6  # chance: a third
    assert table["probability"].between(1 / 3, 1).all()
