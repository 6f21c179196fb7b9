"""The stage meta_learning: a run on a family of letters, what it leaves, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image

from headstart import pipeline_registry
from headstart.errors import HeadstartError
from headstart.experiment import read_experiment
from headstart.learning.configuration import ComputeParameters
from headstart.learning.fits import RESULT_COLUMNS
from headstart.learning.leaderboard import leaderboard
from headstart.learning.meta_learning.tables import CURVE_COLUMNS, TRAINING_COLUMNS
from headstart.learning.planning.parameters import CheckParameters
from headstart.learning.recommendation import recommend
from headstart.pipelines.evaluation.nodes import collect_scores
from headstart.pipelines.ingestion import create_few_shot_pipeline, create_quarantine_pipeline
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters
from headstart.pipelines.meta_learning.nodes import check_families
from headstart.pipelines.meta_learning.parameters import MetaLearningParameters
from headstart.pipelines.representation.parameters import RepresentationParameters
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parent.parent.parent / "conf"
ON_BOTH = {"maml", "fomaml", "reptile", "from_scratch"}
ON_CLASSES = ON_BOTH | {"anil", "prototypical", "pooled_pretraining", "nearest_centroid"}
MEASURED = ["train_seconds", "peak_memory_bytes"]
INGESTION = {
    **{"image_size": 12, "min_examples": 4, "min_classes": 3},
    **{"validation_share": 0.25, "test_share": 0.25, "dark_on_light": ["letters"]},
}


def configuration() -> tuple[dict[str, Any], dict[str, Any]]:
    loader = OmegaConfigLoader(str(CONF), env="test", **CONFIG_LOADER_ARGS)
    return loader["parameters"], loader["catalog"]


def save_letters(root: Path) -> None:
    """Eight alphabets of two letters, four images each."""
    rng = np.random.default_rng(0)
    for alphabet in range(8):
        for letter in range(2):
            folder = root / f"alphabet{alphabet}" / f"letter{letter}"
            folder.mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (12, 12), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")


def run_stages(
    folder: Path, families: list[str], compute: ComputeParameters, **few_shot: Any
) -> DataCatalog:
    """Ingestion of the families and the stage, as the project's own catalog keeps them."""
    parameters, entries = configuration()
    methods = [*parameters["few_shot"]["methods"], "fomaml", "reptile"]  # on request
    chosen = {**parameters["few_shot"], "methods": methods, "families": families, **few_shot}
    changed = {**parameters, "targets": ["faces"], "few_shot": chosen}
    entries = json.loads(json.dumps(entries).replace("data/test/", f"{folder}/"))
    entries["letters.target"] = {
        "type": "headstart.datasets.ImageFolderDataset",
        **{"filepath": str(folder / "letters"), "label_folders": [1, 2]},
    }
    catalog = DataCatalog.from_config(entries)
    catalog["params:few_shot_ingestion"] = FewShotIngestionParameters(
        **{**parameters["few_shot_ingestion"], **INGESTION}
    )
    catalog["params:meta_learning"] = MetaLearningParameters(**parameters["meta_learning"])
    catalog["params:representation"] = RepresentationParameters(**parameters["representation"])
    catalog["params:compute"] = compute
    catalog["params:planning.check"] = CheckParameters(enabled=False)
    try:
        pipeline_registry.use(read_experiment(changed, entries))
        pipelines = pipeline_registry.register_pipelines()
    finally:
        pipeline_registry.use(read_experiment(parameters, configuration()[1]))
    ingestion = create_few_shot_pipeline("letters") + create_quarantine_pipeline([], ["letters"])
    SequentialRunner().run(ingestion + pipelines["meta_learning"], catalog)
    return catalog


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> DataCatalog:
    """The stage on letters and sinusoids, by every method; read it, do not change it."""
    folder = tmp_path_factory.mktemp("few_shot")
    save_letters(folder / "letters")
    compute = ComputeParameters(progress=False, decoding_threads=1, parallel_fits=1)
    return run_stages(folder, ["letters", "sinusoids"], compute)


@pytest.fixture(scope="module")
def scores(finished: DataCatalog) -> pd.DataFrame:
    table: pd.DataFrame = finished["meta_learning.scores"].load()
    return table


def test_every_method_that_is_defined_for_a_family_has_its_rows(scores: pd.DataFrame) -> None:
    methods = scores.groupby("target")["method"].agg(set)
    assert methods["letters.3_way"] == ON_CLASSES
    assert methods["sinusoids"] == ON_BOTH | {"joint_training"}
    assert (scores["track"] == "few_shot").all()
    starts = scores.groupby("method")["representation"].agg(set)
    assert starts["nearest_centroid"] == {"pixels", "imagenet"}
    assert starts["prototypical"] == {"conv4"}
    assert starts["joint_training"] == {"dense"}
    counts = scores.groupby(
        ["target", "representation", "method", "shots", "seed", "split", "metric"]
    )["episode"].agg(["nunique", "size"])
    assert (counts["nunique"] == counts["size"]).all()
    split = counts.index.get_level_values("split")
    assert (counts.loc[split == "test", "size"] == 4).all()
    assert (counts.loc[split == "validation", "size"] == 2).all()
    assert set(scores.loc[scores["target"] == "sinusoids", "metric"]) == {"mse"}


def test_results_and_recommendation_are_made_of_them(scores: pd.DataFrame) -> None:
    results, validation = collect_scores(scores)
    assert results.columns.tolist() == RESULT_COLUMNS
    board = leaderboard(results)
    rows = board[board["metric"] == "accuracy"].set_index(["representation", "method", "shots"])
    own, scratch = (
        results[
            (results["target"] == "letters.3_way")
            & (results["method"] == method)
            & (results["shots"] == 2)
            & (results["metric"] == "accuracy")
        ].set_index("episode")["value"]
        for method in ("maml", "from_scratch")
    )
    row = rows.loc[("conv4", "maml", 2)]
    assert row["gain"] == pytest.approx((own - scratch).mean())
    assert row["pairs"] == 4  # episodes, not seeds
    answers = recommend(validation, board)
    assert set(answers) == {"letters.3_way", "sinusoids"}
    assert answers["letters.3_way"]["shots"] == 2
    assert answers["sinusoids"]["metric"] == "mse"


def test_the_tables_for_the_report(finished: DataCatalog, scores: pd.DataFrame) -> None:
    curves = finished["meta_learning.curves"].load()
    assert curves.columns.tolist() == CURVE_COLUMNS
    readings = curves.groupby("target")["reading"].agg(set)
    assert readings["letters.3_way"] == {"support", "query"}
    assert readings["sinusoids"] == {"support"}
    assert (curves["episodes"] == 4).all()
    keys = ["target", "representation", "method", "shots", "seed"]
    last = curves.sort_values("step").groupby([*keys, "reading"]).tail(1)
    test = scores[scores["split"] == "test"]
    for reading, metrics in (
        ("support", ["accuracy", "mse"]),
        ("query", ["accuracy_transductive"]),
    ):
        of_curves = last[last["reading"] == reading].set_index(keys)["mean"].sort_index()
        of_rows = test[test["metric"].isin(metrics)].groupby(keys)["value"].mean().sort_index()
        pd.testing.assert_series_equal(of_curves, of_rows, check_names=False)
    trainings = finished["meta_learning.trainings"].load()
    assert trainings.columns.tolist() == TRAINING_COLUMNS
    trained = trainings.set_index("method")["iterations"]
    assert (trained[["maml", "prototypical", "joint_training"]] == 3).all()
    assert (trained[["from_scratch", "nearest_centroid"]] == 0).all()


def test_pictures_of_sinusoids(finished: DataCatalog) -> None:
    drawn = finished["meta_learning.examples"].load().set_index("method")
    assert set(drawn.index) == ON_BOTH | {"joint_training", "truth", "support"}
    assert drawn.loc["truth", "x"].tolist() == [-5.0, -2.5, 0.0, 2.5, 5.0]
    assert (drawn.loc["support", "shots"] == 5).all()
    # The curve goes through the points.
    truth, points = drawn.loc["truth"], drawn.loc["support"]
    design = np.stack([np.sin(truth["x"]), np.cos(truth["x"])], axis=1)
    weights, *_ = np.linalg.lstsq(design, truth["y"], rcond=None)
    at_points = np.stack([np.sin(points["x"]), np.cos(points["x"])], axis=1) @ weights
    np.testing.assert_allclose(at_points, points["y"], atol=1e-5)
    assert set(drawn.loc["maml", "step"]) == {0, 1}


def test_what_is_handed_over(finished: DataCatalog) -> None:
    learner = finished["meta_learning.letters.maml_2_shot.model"].load()
    assert (learner.method, learner.reading, learner.outputs) == ("maml", "support", 3)
    assert learner.inputs == {
        **{"size": 12, "channels": 1, "gray": True, "resize": "crop", "inverted": True}
    }
    learner.build()
    pooled = finished["meta_learning.letters.pooled_pretraining_1_shot.model"].load()
    assert pooled.classes == 8
    assert finished["meta_learning.sinusoids.joint_training_5_shot.model"].exists()
    assert not finished["meta_learning.letters.nearest_centroid_2_shot.model"].exists()


def test_fits_side_by_side_are_those_one_after_the_other(
    tmp_path: Path, scores: pd.DataFrame
) -> None:
    save_letters(tmp_path / "letters")
    compute = ComputeParameters(progress=False, decoding_threads=1, parallel_fits=2)
    catalog = run_stages(tmp_path, ["letters"], compute, methods=["prototypical"])
    own = scores[(scores["target"] == "letters.3_way") & (scores["method"] == "prototypical")]
    pd.testing.assert_frame_equal(
        catalog["meta_learning.scores"].load().drop(columns=MEASURED),
        own.reset_index(drop=True).drop(columns=MEASURED),
    )
    assert not catalog["meta_learning.examples"].exists()


def examples(classes: int, each: int, **splits: int) -> pd.DataFrame:
    """Classes of which the first so many are in each split, the others meta-train."""
    of_class = [split for split, n in splits.items() for _ in range(n)]
    of_class += ["meta_train"] * (classes - len(of_class))
    labels = np.repeat(np.arange(classes), each)
    return pd.DataFrame({"class": labels, "split": np.array(of_class)[labels]})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            examples(9, 4, meta_test=2, meta_validation=3),
            "letters, meta-test: there are 2 classes to draw from, fewer than the 3 ways",
        ),
        (
            examples(9, 3, meta_test=3, meta_validation=3),
            r"letters, meta-train: an episode needs 4 examples of a class \(2 shots \+ 2 queries\)",
        ),
    ],
)
def test_what_no_episode_can_be_made_of(table: pd.DataFrame, message: str) -> None:
    parameters = MetaLearningParameters(**configuration()[0]["meta_learning"])
    with pytest.raises(HeadstartError, match=message):
        check_families(["sinusoids", "letters"], parameters, table)


def test_nothing_is_meta_trained_before_all_families_are_checked() -> None:
    parameters, entries = configuration()
    chosen = {**parameters["few_shot"], "families": ["sinusoids", "faces"]}
    try:
        pipeline_registry.use(read_experiment({**parameters, "few_shot": chosen}, entries))
        stage = pipeline_registry.register_pipelines()["meta_learning"]
    finally:
        pipeline_registry.use(read_experiment(parameters, entries))
    for node in stage.nodes:
        if node.short_name == "fit":
            before = stage.to_nodes(node.name)
            assert "ingestion.faces.examples" in before.inputs(), node.name


def test_a_family_may_have_parameters_of_its_own() -> None:
    given = configuration()[0]["meta_learning"]
    own = {"letters": {"shots": [1], "methods": {"maml": {"step_size": 0.7}}}}
    block = MetaLearningParameters(**{**given, "classes": {**given["classes"], "of": own}}).classes
    changed, usual = block.for_family("letters"), block.for_family("faces")
    assert (changed.shots, usual.shots) == ((1,), (1, 2))
    assert (changed.methods.maml.step_size, usual.methods.maml.step_size) == (0.7, 0.4)
    assert changed.methods.maml.training == usual.methods.maml.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"few_shot": {"methods": ["mamml"]}}, "did you mean 'maml'"),
        ({"meta_learning": {"readings": "support"}}, "meta_learning.readings"),
    ],
)
def test_what_the_experiment_refuses(changes: dict[str, Any], message: str) -> None:
    parameters, entries = configuration()
    changed = {name: {**parameters[name], **block} for name, block in changes.items()}
    with pytest.raises(HeadstartError, match=message):
        read_experiment({**parameters, **changed}, entries)
