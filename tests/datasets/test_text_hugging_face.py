"""Texts of Hugging Face data sets: saved folders, and what is said when they cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from kedro.io import DatasetError

from headstart.datasets import HuggingFaceTextDataset
from headstart.experiment import read_experiment

ROWS: dict[str, list[Any]] = {
    "text": ["one", " two ", "", None, "five"],
    "label": [1, 0, 1, 1, -1],  # -1: not labeled, as in many test splits
    "stars": [3, 1, 3, 2, 2],
    "tags": [["a"], [], [], ["b"], []],
}


def saved(folder: Path, splits: bool = False) -> Path:
    """As a user saves it."""
    kind = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "stars": datasets.Value("int64"),
            "tags": datasets.List(datasets.Value("string")),
        }
    )
    data = datasets.Dataset.from_dict(ROWS, features=kind)
    both = datasets.DatasetDict({"train": data, "test": data.select([4, 1])})
    (both if splits else data).save_to_disk(str(folder / "reviews"))
    return folder / "reviews"


def test_numbers_of_classes_become_their_names(tmp_path: Path) -> None:
    loaded = HuggingFaceTextDataset(filepath=str(saved(tmp_path))).load()
    assert loaded["path"].tolist() == [f"reviews/train#{row}" for row in range(5)]
    assert loaded["text"].fillna("-").tolist() == ["one", "two", "-", "-", "five"]
    assert loaded["label"].fillna("-").tolist() == ["good", "bad", "good", "good", "-"]
    assert all(str(kind) == "str" for kind in loaded.dtypes)


def test_plain_numbers_are_labels_that_can_be_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"filepath": str(saved(tmp_path)), "label_column": "stars"}
    assert HuggingFaceTextDataset(**options).load()["label"].tolist() == ["3", "1", "3", "2", "2"]
    options |= {"labels": {3: "much", 1: "little"}}
    with pytest.raises(DatasetError, match=r"without a class: '2' \(2 rows\)"):
        HuggingFaceTextDataset(**options).load()
    some = HuggingFaceTextDataset(**options, others="leave_out", most_per_class=1).load()
    assert some["label"].tolist() == ["much", "little"]
    assert some["path"].tolist() == ["reviews/train#0", "reviews/train#1"]


def test_one_split_of_several(tmp_path: Path) -> None:
    path = str(saved(tmp_path, splits=True))
    loaded = HuggingFaceTextDataset(filepath=path, split="test", label_column=None).load()
    assert loaded["text"].tolist() == ["five", "two"]
    assert loaded["label"].isna().all()
    with pytest.raises(DatasetError, match="no split 'dev'; it has train, test"):
        HuggingFaceTextDataset(filepath=path, split="dev").load()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text_column": "body"}, "no column 'body'; it has text, label, stars, tags"),
        ({"label_column": "class"}, "no column 'class'"),
        ({"label_column": "tags"}, "column 'tags' List, where one text or label"),
    ],
)
def test_columns_that_do_not_fit_are_told(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    path = saved(tmp_path)
    with pytest.raises(DatasetError, match=words) as raised:
        HuggingFaceTextDataset(filepath=str(path), **options).load()
    assert str(path) in str(raised.value)


def test_folders_that_are_not_there_or_hold_something_else_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing_here does not exist"):
        HuggingFaceTextDataset(filepath=str(tmp_path / "nothing_here")).load()
    with pytest.raises(DatasetError, match="cannot be read"):
        HuggingFaceTextDataset(filepath=str(tmp_path)).load()
    for arrow in saved(tmp_path).glob("*.arrow"):
        arrow.write_bytes(arrow.read_bytes()[:40])
    with pytest.raises(DatasetError, match="reviews cannot be read"):
        HuggingFaceTextDataset(filepath=str(tmp_path / "reviews")).load()
    with pytest.raises(DatasetError, match="either a `filepath` or a `hub` name"):
        HuggingFaceTextDataset(filepath="x", hub="y")


def test_without_the_package_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DatasetError, match="uv sync --extra huggingface"):
        HuggingFaceTextDataset(filepath=str(tmp_path)).load()


def test_a_name_on_the_hub_is_read_by_split_and_revision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def load_dataset(*names: Any, **options: Any) -> datasets.Dataset:
        asked.append((names, options))
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    loaded = HuggingFaceTextDataset(hub="them/news", name="en", revision="v1", split="test").load()
    assert asked == [(("them/news", "en"), {"split": "test", "revision": "v1"})]
    assert loaded["path"].tolist() == ["them/news/test#0", "them/news/test#1"]


def test_the_fingerprint_follows_content_and_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    one = HuggingFaceTextDataset(filepath=str(path)).fingerprint()
    assert HuggingFaceTextDataset(filepath=str(path), split="test").fingerprint() != one
    assert HuggingFaceTextDataset(filepath=str(path)).fingerprint() == one
    arrow = next(path.glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes() + b"x")
    assert HuggingFaceTextDataset(filepath=str(path)).fingerprint() != one
    names = [HuggingFaceTextDataset(hub=hub).fingerprint() for hub in ("a/b", "a/c")]
    assert names[0] != names[1]


def test_a_target_of_this_type_is_texts() -> None:
    from kedro.config import OmegaConfigLoader

    from headstart.settings import CONFIG_LOADER_ARGS

    conf = Path(__file__).parent.parent.parent / "conf"
    loader = OmegaConfigLoader(str(conf), **CONFIG_LOADER_ARGS)
    entry = {"type": "headstart.datasets.HuggingFaceTextDataset", "hub": "them/news"}
    parameters = {**loader["parameters"], "targets": ["news"]}
    catalog = {**loader["catalog"], "news.target": entry}
    assert read_experiment(parameters, catalog).text_targets == ["news"]
