"""conf/omniglot is the published protocol."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from headstart.datasets import ImageFolderDataset, ImageStoreDataset
from headstart.learning.class_splits import split_classes
from headstart.learning.configuration import ComputeParameters
from headstart.pipelines.ingestion.few_shot_nodes import decode_family, screen_family, split_family
from headstart.pipelines.ingestion.parameters import FewShotIngestionParameters
from headstart.pipelines.meta_learning.parameters import MetaLearningParameters
from headstart.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parent.parent
DRAWINGS = ROOT / "data/01_raw/omniglot-py"
PUBLISHED = {"meta_train": 1100, "meta_validation": 100, "meta_test": 423}  # characters


@pytest.fixture(scope="module")
def configuration() -> Any:
    return OmegaConfigLoader(str(ROOT / "conf"), env="omniglot", **CONFIG_LOADER_ARGS)


@pytest.fixture(scope="module")
def ingestion(configuration: Any) -> FewShotIngestionParameters:
    return FewShotIngestionParameters(**configuration["parameters"]["few_shot_ingestion"])


def test_as_many_characters_as_published_are_in_each_part(
    ingestion: FewShotIngestionParameters,
) -> None:
    characters = [f"alphabet{i % 50}/character{i}" for i in range(1623)]
    turned = [character for character in characters for _ in range(4)]
    shares = {"meta_validation": ingestion.validation_share, "meta_test": ingestion.test_share}
    for seed in (ingestion.split_seed, ingestion.split_seed + 1):
        counts = Counter(split_classes(turned, shares, seed))
        assert {split: n / 4 for split, n in counts.items()} == PUBLISHED


def test_the_drawings_are_read_as_published(
    configuration: Any, ingestion: FewShotIngestionParameters, tmp_path: Path
) -> None:
    if not DRAWINGS.is_dir():
        pytest.skip(f"the drawings of Omniglot are not in {DRAWINGS.relative_to(ROOT)}")
    entry = {**configuration["catalog"]["omniglot.target"], "filepath": str(DRAWINGS)}
    raw = ImageFolderDataset(**{k: v for k, v in entry.items() if k not in ("type", "metadata")})
    store = ImageStoreDataset(filepath=str(tmp_path / "images"))
    store.save(decode_family("omniglot", raw.load(), ingestion, ComputeParameters(progress=False)))
    images = store.load()
    rows, aside, counts = screen_family("omniglot", images, ingestion)
    classes, _, _ = split_family("omniglot", rows, aside, counts, ingestion)
    assert images.images.shape == (4 * 32_460 - 4 * len(images.rejected), 28, 28, 1)
    assert images.images[:1000].mean() < 60  # strokes are light, paper is dark
    # Five shots and fifteen queries are to be had of each character that is tested on.
    assert (classes.loc[classes["split"] != "meta_train", "examples"] == 20).all()
    splits = classes["split"].value_counts()
    assert {split: n / 4 for split, n in splits.items()} == PUBLISHED


def test_step_sizes_and_meta_batches(configuration: Any) -> None:
    block = MetaLearningParameters(**configuration["parameters"]["meta_learning"])
    assert block.episodes == 600
    for family, ways, steps, step_size, tasks in (
        ("omniglot", 5, 1, 0.4, 32),
        ("omniglot_20_way", 20, 5, 0.1, 16),
    ):
        classes = block.classes.for_family(family)
        maml = classes.methods.maml
        assert (classes.ways, classes.network.filters, list(classes.shots)) == (ways, 64, [1, 5])
        assert (maml.steps, maml.step_size, maml.order) == (steps, step_size, "second")
        assert (maml.training.batch_size, maml.training.steps) == (tasks, 60_000)
