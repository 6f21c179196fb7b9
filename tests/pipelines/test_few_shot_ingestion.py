"""Ingestion of families of few-shot tasks: from images of many classes to split classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image

from headstart import pipeline_registry
from headstart.errors import HeadstartError
from headstart.experiment import read_experiment
from headstart.learning.configuration import ComputeParameters
from headstart.pipelines.ingestion import create_few_shot_pipeline, create_quarantine_pipeline
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters
from headstart.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parent.parent.parent / "conf"
SETTINGS: dict[str, Any] = {
    **{"image_size": 12, "resize": "crop", "gray": True, "dark_on_light": [], "turned": []},
    **{"chunk_size": 8, "max_bad_share": 0.5, "min_examples": 3, "min_classes": 2},
    **{"validation_share": 0.25, "test_share": 0.25, "split_groups": [], "split_seed": 0},
}
Run = Callable[..., DataCatalog]


def save(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Eight alphabets of two letters, four images each."""
    root = tmp_path / "letters"
    for alphabet in range(8):
        for letter in range(2):
            for i in range(4):
                path = root / f"alphabet{alphabet}" / f"letter{letter}" / f"{i}.png"
                save(alphabet * 100 + letter * 10 + i, path)
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the ingestion of the family `letters` and returns the catalog."""

    def run(label_folders: tuple[int, ...] = (1, 2), **settings: Any) -> DataCatalog:
        def entry(kind: str, path: str, **options: Any) -> dict[str, Any]:
            kind = f"headstart.datasets.{kind}Dataset"
            return {"type": kind, "filepath": str(tmp_path / path), **options}

        catalog = DataCatalog.from_config(
            {
                "letters.target": entry(
                    "ImageFolder", "letters", label_folders=list(label_folders)
                ),
                "ingestion.letters.images": entry("ImageStore", "store"),
                "ingestion.letters.few_shot_{made}": entry("Parquet", "made/{made}.parquet"),
                "ingestion.letters.few_shot_counts": entry("JSON", "counts.json"),
                "ingestion.letters.few_shot_summary": entry("JSON", "summary.json"),
                "ingestion.letters.{table}": entry("Parquet", "{table}.parquet"),
                "quarantine": entry("Parquet", "quarantine.parquet"),
            }
        )
        parameters = FewShotIngestionParameters(**{**SETTINGS, **settings})
        catalog["params:few_shot_ingestion"] = parameters
        catalog["params:compute"] = ComputeParameters(progress=False, decoding_threads=1)
        pipeline = create_few_shot_pipeline("letters")
        SequentialRunner().run(pipeline + create_quarantine_pipeline([], ["letters"]), catalog)
        return catalog

    return run


def test_whole_alphabets_are_held_out(letters: Path, run: Run) -> None:
    catalog = run()
    classes = catalog["ingestion.letters.classes"].load()
    assert list(classes) == ["class", "label", "group", "split", "examples"]
    assert classes["class"].tolist() == list(range(16))
    assert (classes["examples"] == 4).all()
    assert (classes.groupby("group")["split"].nunique() == 1).all()
    assert classes["split"].value_counts().to_dict() == {
        "meta_train": 8,
        "meta_validation": 4,
        "meta_test": 4,
    }
    store = catalog["ingestion.letters.images"].load()
    examples = catalog["ingestion.letters.examples"].load()
    assert store.images.shape == (64, 12, 12, 1)
    assert list(examples) == ["row", "path", "label", "class", "split"]
    for example in examples.itertuples():
        pixels = np.asarray(Image.open(letters / example.path).convert("L"))
        assert np.array_equal(store.images[example.row, :, :, 0], pixels)
        known = classes.loc[example._4]
        assert (known["label"], known["split"]) == (example.label, example.split)
        assert example.path.startswith(example.label)
    summary = catalog["ingestion.letters.few_shot_summary"].load()
    assert summary["classes"] == {"meta_train": 8, "meta_validation": 4, "meta_test": 4}
    assert len(summary["groups"]["meta_test"]) == 2


def test_alphabets_may_be_parted(letters: Path, run: Run) -> None:
    classes = run(split_groups=["letters"])["ingestion.letters.classes"].load()
    assert classes.groupby("group")["split"].nunique().max() == 2
    assert classes["split"].value_counts().to_dict() == {
        "meta_train": 8,
        "meta_validation": 4,
        "meta_test": 4,
    }


def test_classes_without_groups(letters: Path, run: Run) -> None:
    classes = run(label_folders=(1,))["ingestion.letters.classes"].load()
    assert len(classes) == 8
    assert classes["group"].isna().all()
    assert (classes["examples"] == 8).all()


def test_dark_strokes_are_stored_light_and_colors_can_be_kept(letters: Path, run: Run) -> None:
    usual = run()["ingestion.letters.images"].load()
    inverted = run(dark_on_light=["letters"], gray=False)["ingestion.letters.images"].load()
    assert inverted.images.shape == (64, 12, 12, 3)
    path = usual.index["path"].iloc[0]
    assert np.array_equal(inverted.images[0], 255 - np.asarray(Image.open(letters / path)))


def test_turned_images_are_classes_and_stay_with_their_own(letters: Path, run: Run) -> None:
    catalog = run(turned=["letters"], split_groups=["letters"])
    classes = catalog["ingestion.letters.classes"].load()
    assert len(classes) == 64
    upright = classes["label"].str.partition("@")[0]
    assert (classes.groupby(upright)["split"].nunique() == 1).all()
    assert (classes.groupby(upright).size() == 4).all()
    assert len(catalog["ingestion.letters.images"].load().images) == 256


def test_what_cannot_be_used_is_set_aside_with_numbers(letters: Path, run: Run) -> None:
    first = letters / "alphabet0" / "letter0"
    (letters / "alphabet1" / "letter1" / "same.png").write_bytes((first / "0.png").read_bytes())
    (first / "1.png").write_bytes(b"")
    (letters / "alphabet2" / "letter0" / "again.png").write_bytes(
        (letters / "alphabet2" / "letter0" / "0.png").read_bytes()
    )
    catalog = run()
    aside = catalog["quarantine"].load().set_index("path")
    assert aside["reason"].to_dict() == {
        "alphabet0/letter0/0.png": "same content with different labels "
        "(alphabet0/letter0, alphabet1/letter1)",
        "alphabet1/letter1/same.png": "same content with different labels "
        "(alphabet0/letter0, alphabet1/letter1)",
        "alphabet0/letter0/1.png": "file is empty",
        # Of its four images two were taken away.
        "alphabet0/letter0/2.png": "class has too few examples (2, needs 3)",
        "alphabet0/letter0/3.png": "class has too few examples (2, needs 3)",
    }
    assert (aside["role"] == "few_shot").all()
    assert len(catalog["ingestion.letters.classes"].load()) == 15
    counts = catalog["ingestion.letters.few_shot_summary"].load()
    assert counts["duplicates_removed"] == {"within_target": 1}
    assert counts["read"] == {"few_shot": 66}


def test_too_much_set_aside_stops_the_run(letters: Path, run: Run) -> None:
    for path in list(letters.rglob("*.png"))[::4]:
        path.write_bytes(b"rubbish")
    with pytest.raises(HeadstartError) as error:
        run(max_bad_share=0.1)
    assert "more than few_shot_ingestion.max_bad_share = 10%" in str(error.value)


def test_fewer_classes_than_the_splits_need(letters: Path, run: Run) -> None:
    with pytest.raises(HeadstartError) as error:
        run(min_classes=5)
    message = str(error.value)
    assert message.startswith("letters: 16 classes in 8 groups that stay whole were found, which")
    assert "8 for meta_train, 4 for meta_validation, 4 for meta_test" in message
    assert "few_shot_ingestion.split_groups" in message


def test_a_folder_of_one_class(tmp_path: Path, run: Run) -> None:
    for i in range(4):
        save(i, tmp_path / "letters" / "alphabet" / "alpha" / f"{i}.png")
    with pytest.raises(HeadstartError, match="one class only, 'alphabet/alpha', was found"):
        run()


def configuration() -> tuple[dict[str, Any], dict[str, Any]]:
    loader = OmegaConfigLoader(str(CONF), env="test", **CONFIG_LOADER_ARGS)
    return loader["parameters"], loader["catalog"]


def test_a_family_is_read_when_it_is_named_even_if_it_is_a_target() -> None:
    parameters, catalog = configuration()
    few_shot = parameters["few_shot"]
    assert few_shot["families"] == []
    changed = {**parameters, "few_shot": {**few_shot, "families": "faces"}, "targets": ["faces"]}
    try:
        pipeline_registry.use(read_experiment(changed, catalog))
        ingestion = pipeline_registry.register_pipelines()["ingestion"]
    finally:
        pipeline_registry.use(read_experiment(parameters, catalog))
    outputs = ingestion.all_outputs()
    assert {"ingestion.faces.images", "ingestion.faces.target_images"} <= outputs
    joined = next(node for node in ingestion.nodes if node.name.endswith("join_quarantine"))
    assert "ingestion.faces.few_shot_quarantine" in joined.inputs
    assert "ingestion.faces.quarantine" in joined.inputs


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("my letters", "cannot be a family's name"),
        ("newsgroups", "'newsgroups.target' is of no type that reads images"),
    ],
)
def test_families_that_will_not_do(family: str, message: str) -> None:
    parameters, catalog = configuration()
    few_shot = {**parameters["few_shot"], "families": [family]}
    with pytest.raises(HeadstartError, match=message):
        read_experiment({**parameters, "few_shot": few_shot}, catalog)
