"""The representation stage, run by Kedro."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError

from headstart.learning.configuration import ComputeParameters
from headstart.learning.encoders import Encoder
from headstart.learning.images import ImageStore
from headstart.learning.pretext.parameters import NetworkParameters
from headstart.pipelines.representation import create_pipeline
from headstart.pipelines.representation.parameters import RepresentationParameters

CONF = Path(__file__).parents[2] / "conf" / "base" / "parameters_representation.yml"
ENCODERS = ["pixels", "pca", "random", "imagenet", "rotation"]
NETWORK = NetworkParameters(architecture="efficientnet_lite0", image_size=None, seed=0)


def catalog_names(*encoders: str) -> dict[str, str]:
    return {name: f"representation.parts.{name}.encoder" for name in encoders}


def parameters(**changes: object) -> RepresentationParameters:
    block = yaml.safe_load(CONF.read_text(encoding="utf-8"))["representation"]
    return RepresentationParameters.model_validate({**block, **changes})


def store(n: int, seed: int) -> ImageStore:
    images = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 1), dtype=np.uint8)
    empty = pd.DataFrame({"path": [], "reason": []})
    index = pd.DataFrame({"path": [f"{i}.png" for i in range(n)], "label": "a", "digest": ""})
    return ImageStore(images=images, index=index, rejected=empty)


def splits(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": "parts",
            "row": np.arange(n),
            "path": "",
            "label": ["good", "bad"] * (n // 2),
            "class": [1, 0] * (n // 2),
            "split": ["test" if i % 4 == 0 else "development" for i in range(n)],
        }
    )


class Kept(AbstractDataset[Any, Any]):
    """In memory, and still there after the run."""

    def save(self, data: Any) -> None:
        self.data = data

    def load(self) -> Any:
        return self.data

    def _describe(self) -> dict[str, Any]:
        return {}


def test_every_encoder_has_a_namespace_with_its_nodes():
    pretrained = {"rotation": "pretraining.parts.rotation.encoder"}
    names = catalog_names("pixels", "pca", "random", "imagenet") | pretrained
    pipeline = create_pipeline("parts", names, ENCODERS, "ingestion.parts.source_images")
    assert {node.name for node in pipeline.nodes} == {
        f"representation.parts.{name}.{node}"
        for name in ENCODERS
        for node in ("encoder", "extract", "map", "measure")
        if (name, node) != ("rotation", "encoder")  # the pretraining stage makes it
    }
    assert pipeline.inputs() == {
        "ingestion.parts.target_images",
        "ingestion.parts.source_images",
        "ingestion.parts.source_rows",
        "ingestion.parts.splits",
        "pretrained.imagenet",
        "pretraining.parts.rotation.encoder",
        "params:pretraining.network",
        "params:representation",
        "params:compute",
    }
    assert pipeline.outputs() == {
        f"representation.parts.{name}.{table}" for name in ENCODERS for table in ("map", "quality")
    }


def test_an_encoder_that_is_only_trained_is_not_extracted():
    names = catalog_names("pixels", "random")
    pipeline = create_pipeline("parts", names, ["pixels"], "ingestion.parts.target_images")
    assert {n.name for n in pipeline.only_nodes_with_namespaces(
        ["representation.parts.random"]
    ).nodes} == {"representation.parts.random.encoder"}  # fmt: skip


@pytest.mark.parametrize("has_source", [True, False])
def test_it_runs(has_source):
    names = ["pixels", "pca", "random"]
    target, source = store(20, seed=0), store(30, seed=1)
    n = 30 if has_source else 20
    rows = np.arange(0, n, 2)
    catalog = DataCatalog(
        {
            "ingestion.parts.target_images": MemoryDataset(target),
            "ingestion.parts.source_images": MemoryDataset(source),
            "ingestion.parts.source_rows": MemoryDataset(pd.DataFrame({"row": rows})),
            "ingestion.parts.splits": MemoryDataset(splits(20)),
            "params:representation": MemoryDataset(
                parameters(pca={"size": 8, "components": 4, "max_rows": None, "seed": 0})
            ),
            "params:pretraining.network": MemoryDataset(NETWORK),
            "params:compute": MemoryDataset(ComputeParameters(device="cpu", progress=False)),
        }
    )
    images_of_source = f"ingestion.parts.{'source' if has_source else 'target'}_images"
    absent = Encoder({"name": "rotation", "kind": "left_out", "left_out": "no reason"}, {})
    catalog["pretraining.parts.rotation.encoder"] = MemoryDataset(absent)
    encoders = catalog_names(*names) | {"rotation": "pretraining.parts.rotation.encoder"}
    pipeline = create_pipeline("parts", encoders, [*names, "rotation"], images_of_source)
    for name in [*names, "rotation"]:
        for kind in ("encoder", "features", "map", "quality"):
            catalog[f"representation.parts.{name}.{kind}"] = Kept()
    SequentialRunner().run(pipeline, catalog)
    for name, width in (("pixels", 1024), ("pca", 4), ("random", 1280)):
        features = catalog.load(f"representation.parts.{name}.features")
        assert features.name == name
        assert features.values.shape == (20, width)
        encoder = catalog.load(f"representation.parts.{name}.encoder")
        assert features.encoder_parameters == encoder.parameters
        mapped = catalog.load(f"representation.parts.{name}.map")
        assert set(mapped["row"]) == set(range(20))
        assert set(mapped["representation"]) == {name}
        (quality,) = catalog.load(f"representation.parts.{name}.quality").itertuples()
        assert (quality.target, quality.representation) == ("parts", name)
        assert (quality.dimension, quality.images) == (width, 15)
        assert 1 <= quality.effective_rank <= 14

    # An encoder that could not be made has no features, no map and no quality.
    assert catalog.load("representation.parts.rotation.features").values.shape == (20, 0)
    assert catalog.load("representation.parts.rotation.map").empty
    assert catalog.load("representation.parts.rotation.quality").empty

    # The components are those of the source, where there is one, and of the given rows alone.
    from headstart.learning.encoders import fit_pca

    images = (source if has_source else target).images
    expected = fit_pca(images, rows, size=8, components=4, seed=0).tensors
    given = catalog.load("representation.parts.pca.encoder").tensors
    assert all(np.array_equal(given[k], expected[k]) for k in expected)


def test_misspelled_and_senseless_parameters_are_refused_by_name():
    with pytest.raises(ValidationError, match=r"(?s)map\.perplexty.*Extra inputs"):
        parameters(map={"max_points": 6, "perplexity": 3, "seed": 0, "perplexty": 3})
    with pytest.raises(ValidationError, match=r"pixels\.size"):
        parameters(pixels={"size": 0})
    with pytest.raises(ValidationError, match=r"(?s)rotation.*Extra inputs"):
        parameters(rotation={})


@pytest.mark.parametrize("stage", ["representation", "probing", "pretraining"])
def test_building_the_pipelines_imports_nothing_heavy(stage):
    code = (
        f"import sys, headstart.pipelines.{stage} as stage; "
        "heavy = {'torch', 'timm', 'sklearn', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
