from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder, make_signature
from headstart.learning.configuration import ComputeParameters


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints").at("fit")


def test_what_is_saved_is_loaded_bit_for_bit(folder: CheckpointFolder) -> None:
    tensors = {
        "weight": torch.randn(3, 4).to(memory_format=torch.contiguous_format).t(),
        "half": torch.randn(5).bfloat16(),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 2),
    }
    metadata = {"loss": 0.1 + 0.2, "infinite": float("inf"), "none": None, "rows": [[1, "a"]]}
    folder.save(tensors, metadata, signature="s")
    found = folder.load(signature="s")
    assert found is not None
    assert found.metadata == metadata
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_tensors_that_share_memory_are_saved(folder: CheckpointFolder) -> None:
    tied = torch.randn(4)
    folder.save({"a": tied, "b": tied, "part": tied[1:3]}, {}, signature="s")
    found = folder.load(signature="s")
    assert found is not None
    assert torch.equal(found.tensors["part"], tied[1:3])


def test_another_signature_is_ignored_and_replaced(folder: CheckpointFolder) -> None:
    folder.save({"a": torch.zeros(1)}, {"n": 1}, signature="old")
    assert folder.load(signature="new") is None
    folder.save({"a": torch.ones(1)}, {"n": 2}, signature="new")
    assert folder.load(signature="old") is None
    found = folder.load(signature="new")
    assert found is not None
    assert found.metadata == {"n": 2}
    assert [p.name for p in folder.path.iterdir()] == ["training.safetensors"]


@pytest.mark.parametrize("length", [0, 4, 8, 60, -1])
def test_a_damaged_file_is_ignored_with_a_warning(
    folder: CheckpointFolder, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder.save({"a": torch.randn(100)}, {}, signature="s")
    file = folder.path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with caplog.at_level(logging.WARNING):
        assert folder.load(signature="s") is None
    assert "damaged" in caplog.text
    assert str(file) in caplog.text


def test_a_file_of_something_else_is_ignored(
    folder: CheckpointFolder, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import save_file

    folder.path.mkdir(parents=True)
    save_file({"a": torch.zeros(1)}, folder.path / "training.safetensors")
    assert folder.load(signature="s") is None
    assert "damaged" in caplog.text


def test_a_write_that_is_cut_short_leaves_the_checkpoint_before_it(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save({"a": torch.zeros(1)}, {"n": 1}, signature="s")

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.save({"a": torch.ones(1)}, {"n": 2}, signature="s")
    found = folder.load(signature="s")
    assert found is not None
    assert found.metadata == {"n": 1}


def test_a_full_disk_is_one_clear_message(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save({"a": torch.zeros(1)}, {"n": 1}, signature="s")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HeadstartError, match=r"training\.safetensors.*No space left.*Make room"):
        folder.save({"a": torch.ones(1)}, {}, signature="s")
    assert folder.load(signature="s") is not None
    assert [p.name for p in folder.path.iterdir()] == ["training.safetensors"]


def test_remove_and_clear(folder: CheckpointFolder) -> None:
    folder.clear()
    folder.remove()
    folder.save({}, {}, signature="s")
    folder.save({}, {}, signature="s", name="result")
    folder.remove()
    assert folder.load(signature="s") is None
    assert folder.load(signature="s", name="result") is not None
    folder.clear()
    assert not folder.path.exists()


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_values, _values)
def test_signatures_are_equal_exactly_when_values_are(a: object, b: object) -> None:
    assert (make_signature(a) == make_signature(b)) == (repr(_sorted(a)) == repr(_sorted(b)))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {k: _sorted(value[k]) for k in sorted(value)}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def test_signatures_tell_arrays_and_parameters_apart() -> None:
    array = np.arange(6)
    different = [
        make_signature(array),
        make_signature(array.reshape(2, 3)),
        make_signature(array.astype(np.int32)),
        make_signature(array + 1),
        make_signature(array, 0),
        make_signature(ComputeParameters()),
        make_signature(ComputeParameters(precision="bf16")),
    ]
    assert len(set(different)) == len(different)
    assert make_signature(array) == make_signature(array.copy())
    assert make_signature(ComputeParameters()) == make_signature(ComputeParameters())
    with pytest.raises(TypeError, match="function"):
        make_signature(_sorted)
