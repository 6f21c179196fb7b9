"""A task of the user's own, learned by what was meta-trained: from a folder, or from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from PIL import Image, ImageOps

from headstart.datasets import AdaptedLearnerDataset, ImageFolderDataset, MetaLearnerDataset
from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool
from headstart.learning.meta_learning.meta_learner import MetaLearner
from headstart.learning.meta_learning.parameters import (
    Conv4Parameters,
    MamlParameters,
    PrototypicalParameters,
    SinusoidNetworkParameters,
)
from headstart.learning.meta_learning.registry import build_method
from headstart.learning.meta_learning.sinusoids import Sinusoids
from headstart.pipelines.adaptation import create_pipeline, create_regression_pipeline, nodes
from headstart.pipelines.adaptation.parameters import TaskAdaptationParameters
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parent.parent.parent / "conf"
TRAINING: Any = {"steps": 1, "epochs": 1, "batch_size": 1, "learning_rate": 0.001}
MAML = MamlParameters(steps=1, step_size=0.1, test_steps=4, training=TRAINING)
INPUTS = {"size": 16, "channels": 1, "gray": True, "resize": "crop", "inverted": True}
COMPUTE = ComputeParameters(device="cpu", progress=False, decoding_threads=1)
PARAMETERS = TaskAdaptationParameters(
    **{"family": "letters", "method": "prototypical", "shots": 1, "model": None},
    **{"task": "signs", "images": "new", "points": "points.csv", "steps": None},
    reading="support",
)


def images_learner(name: str, ways: int = 3) -> MetaLearner:
    """A method for images of 16 x 16 pixels with its initial weights."""
    pool = ClassPool("letters", np.zeros((ways, 1, 16, 16), np.uint8), np.arange(ways))
    parameters: Any = MAML if name == "maml" else PrototypicalParameters(training=TRAINING)
    network = Conv4Parameters(filters=8)
    method = build_method(
        *(name, parameters, network), ClassEpisodes(pool, np.arange(ways), ways, 1, 0), seed=0
    )
    return MetaLearner.of(
        *(name, method), parameters=parameters, network=network, inputs=INPUTS, reading="query"
    )


def points_learner() -> MetaLearner:
    """A method for curves with its initial weights."""
    network = SinusoidNetworkParameters(deviation=0.5)
    method = build_method("maml", MAML, network, Sinusoids(5, 5), seed=0)
    return MetaLearner.of(
        *("maml", method), parameters=MAML, network=network, inputs={}, reading="query"
    )


def draw(sign: str, seed: int) -> Image.Image:
    """Dark strokes on light paper, in color, wider than high."""
    rng = np.random.default_rng(seed)
    paper = rng.integers(200, 256, (40, 52, 3))
    shift = int(rng.integers(0, 3))
    stroke = rng.integers(0, 60, paper.shape)
    rows, columns = np.mgrid[:40, :52]
    where = {
        "bars": (rows + shift) % 10 < 4,
        "posts": (columns + shift) % 10 < 4,
        "disk": (rows - 20) ** 2 + (columns - 26) ** 2 < (12 + shift) ** 2,
    }[sign]
    return Image.fromarray(np.where(where[..., None], stroke, paper).astype(np.uint8))


def save_signs(folder: Path, per_class: int, first_seed: int) -> None:
    for sign in ("bars", "disk", "posts"):
        (folder / sign).mkdir(parents=True)
        for i in range(per_class):
            draw(sign, first_seed + i).save(folder / sign / f"{i}.png")


def pixels(paths: list[Path]) -> torch.Tensor:
    """What the meta-training saw, by Pillow alone: light strokes on dark paper, (n, 1, 16, 16)."""
    fitted = [
        ImageOps.fit(Image.open(p).convert("L"), (16, 16), Image.Resampling.BILINEAR) for p in paths
    ]
    return torch.from_numpy(255 - np.stack([np.asarray(f) for f in fitted]))[:, None] / 255


def expected_outputs(
    learner: MetaLearner, labeled: Path, new: list[Path], steps: int
) -> torch.Tensor:
    """What the method itself says of the new images, two labeled ones a class."""
    adapted = learner.build().adapt(
        pixels(sorted(labeled.rglob("*.png")))[None],
        torch.tensor([[0, 0, 1, 1, 2, 2]]),
        pixels(new)[None],
        steps=steps,
        reading="support",
    )
    return adapted.outputs[-1, 0].softmax(1).detach()


def test_a_folder_of_labeled_images_and_a_folder_of_others(kedro: Any, project: Path) -> None:
    learner = images_learner("prototypical")
    labeled = project / "data/01_raw/signs"
    save_signs(labeled, per_class=2, first_seed=0)
    save_signs(project / "new", per_class=3, first_seed=100)
    (labeled / "bars/notes.txt").write_text("drawn on a Sunday")
    (project / "new/broken.png").write_bytes(b"\x89PNG")
    place = project / "data/test/06_models/meta_learning/letters/prototypical_2_shot"
    MetaLearnerDataset(filepath=str(place)).save(learner)
    done = kedro(
        *(project, "run", "--env", "test", "--pipelines", "adaptation", "--params"),
        "adaptation.task=signs,adaptation.images=new,adaptation.family=letters,adaptation.shots=2",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "prototypical has learned 3 classes and 6 images in 0 steps" in said
    assert "statistics of the labeled images (not transductive)" in said
    assert "data/test/07_model_output/adaptation/signs.parquet" in said

    outputs = project / "data/test/07_model_output/adaptation"
    table = pd.read_parquet(outputs / "signs.parquet")
    assert table.columns.tolist() == ["path", "label", "probability"]
    assert len(table) == 9
    new = [project / "new" / path for path in table["path"]]
    probabilities = expected_outputs(learner, labeled, new, steps=0)
    names = np.array(["bars", "disk", "posts"])
    assert table["label"].tolist() == names[probabilities.argmax(1).numpy()].tolist()
    np.testing.assert_allclose(table["probability"], probabilities.max(1).values, atol=1e-4)
    # Random features tell bars from posts.
    assert (table["label"] == table["path"].str.split("/").str[0]).mean() > 0.8
    aside = [
        pd.read_parquet(outputs / f"signs_{w}_rejected.parquet") for w in ("labeled", "images")
    ]
    assert aside[0].to_numpy().tolist() == [["bars/notes.txt", "not an image"]]
    assert aside[1]["path"].tolist() == ["broken.png"]
    model = AdaptedLearnerDataset(filepath=str(project / "data/test/06_models/adapted/signs"))
    assert model.load().classes == ("bars", "disk", "posts")


def run(pipeline: Pipeline, **given: Any) -> DataCatalog:
    """Runs a pipeline in the current folder with the project's own catalog and parameters."""
    loader = OmegaConfigLoader(
        str(CONF), env="test", runtime_params={"adaptation": given}, **CONFIG_LOADER_ARGS
    )
    entries = {n: e for n, e in loader["catalog"].items() if n.startswith("adaptation.")}
    catalog = DataCatalog.from_config(entries)
    catalog["params:adaptation"] = TaskAdaptationParameters(**loader["parameters"]["adaptation"])
    catalog["params:compute"] = COMPUTE
    SequentialRunner().run(pipeline, catalog)
    return catalog


def test_weights_that_are_adapted_and_a_meta_learner_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    learner = images_learner("maml")
    MetaLearnerDataset(filepath="elsewhere").save(learner)
    labeled, new = Path("data/01_raw/signs"), Path("new")
    save_signs(labeled, per_class=2, first_seed=0)
    save_signs(new, per_class=1, first_seed=100)
    given = {"model": "elsewhere", "task": "signs", "images": "new", "steps": 2}
    table = run(create_pipeline(), **given)["adaptation.table"].load()
    probabilities = expected_outputs(learner, labeled, [new / p for p in table["path"]], steps=2)
    np.testing.assert_allclose(table["probability"], probabilities.max(1).values, atol=1e-4)


def test_a_table_of_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    learner = points_learner()
    place = "data/test/06_models/meta_learning/sinusoids/maml_5_shot"
    MetaLearnerDataset(filepath=place).save(learner)
    x = np.linspace(-4, 4, 5)
    table = pd.DataFrame({"x": [*x, 0.5, 3.0], "y": [*np.sin(x), None, None]})
    table.sample(frac=1, random_state=0).to_csv("points.csv", index=False)
    given = {"family": "sinusoids", "method": "maml", "shots": 5, "points": "points.csv"}
    catalog = run(create_regression_pipeline(), **given, task="curve")
    assert Path("data/test/07_model_output/adaptation/curve.csv").is_file()
    predicted = catalog["adaptation.numbers"].load().sort_values("x")
    known = torch.tensor(x, dtype=torch.float32)[None, :, None]
    asked = torch.tensor([[[0.5], [3.0]]])
    outputs = learner.build().adapt(known, known.sin(), asked, steps=4, reading="query").outputs
    assert predicted["x"].tolist() == [0.5, 3.0]
    np.testing.assert_allclose(predicted["y"], outputs[-1, 0, :, 0].detach(), rtol=1e-4)


def test_what_was_not_meta_trained_is_named_with_the_run_that_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_signs(Path("data/01_raw/signs"), per_class=1, first_seed=0)
    with pytest.raises(DatasetError) as error:
        run(create_pipeline(), task="signs", images="data/01_raw/signs", method="anil")
    message = str(error.value)
    assert "no meta-learner in data/test/06_models/meta_learning/glyphs/anil_1_shot" in message
    assert "`kedro run --pipelines ingestion,meta_learning`" in message


def learn(folder: Path, learner: MetaLearner) -> Any:
    labeled = ImageFolderDataset(filepath=str(folder)).load()
    return nodes.learn_images(learner, labeled, PARAMETERS, COMPUTE)


def test_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    draw("bars", 0).save(tmp_path / "bars" / "0.png")
    with pytest.raises(HeadstartError, match="signs: there is one class only, 'bars'"):
        learn(tmp_path, images_learner("prototypical"))


def test_as_many_classes_as_the_last_layer_has(tmp_path: Path) -> None:
    save_signs(tmp_path, per_class=1, first_seed=0)
    with pytest.raises(HeadstartError, match=r"tasks of 5 classes.*yours has 3 \(bars, disk"):
        learn(tmp_path, images_learner("maml", ways=5))
    adapted, rejected = learn(tmp_path, images_learner("prototypical", ways=5))
    assert adapted.classes == ("bars", "disk", "posts")
    assert rejected.empty


def test_a_class_without_an_image_that_can_be_read(tmp_path: Path) -> None:
    save_signs(tmp_path, per_class=1, first_seed=0)
    (tmp_path / "disk" / "0.png").write_bytes(b"rubbish")
    with pytest.raises(HeadstartError) as error:
        learn(tmp_path, images_learner("prototypical"))
    assert "no image of disk can be read (disk/0.png: not an image" in str(error.value)


def test_no_new_image_can_be_read(tmp_path: Path) -> None:
    save_signs(tmp_path / "labeled", per_class=1, first_seed=0)
    adapted, _ = learn(tmp_path / "labeled", images_learner("prototypical"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("nothing")
    images = ImageFolderDataset(filepath=str(tmp_path / "new"), labelled=False).load()
    with pytest.raises(HeadstartError, match="None of the 1 files in new can be read"):
        nodes.predict_images(adapted, images, PARAMETERS, COMPUTE)


def test_images_are_no_numbers(tmp_path: Path) -> None:
    save_signs(tmp_path, per_class=1, first_seed=0)
    with pytest.raises(HeadstartError, match="learns from numbers: use `kedro run --pipelines reg"):
        learn(tmp_path, points_learner())
    points = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, None]})
    with pytest.raises(HeadstartError, match="learns from images: use `kedro run --pipelines ada"):
        nodes.learn_points(images_learner("maml"), points, PARAMETERS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [1.0], "z": [2.0]}, r"needs the columns x and y; it has \['x', 'z'\]"),
        ({"x": [1.0, None], "y": [1.0, None]}, r"row 2: x is no finite number \(nan\)"),
        ({"x": [1.0, 2.0], "y": ["1", "one"]}, r"row 2: y is no finite number \(one\)"),
        ({"x": [1.0, 2.0], "y": [1.0, 2.0]}, "has 2 rows with a y to learn from and 0 without"),
        ({"x": [1.0], "y": [None]}, "has 0 rows with a y to learn from and 1 without"),
    ],
)
def test_tables_that_will_not_do(table: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        nodes.learn_points(points_learner(), pd.DataFrame(table), PARAMETERS)
