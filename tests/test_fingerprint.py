import importlib
import sys
from pathlib import Path

import pytest

from headstart import fingerprint
from headstart.fingerprint import code_fingerprint, path_fingerprint, value_fingerprint
from headstart.learning.configuration import ComputeParameters

CALLEE = '''
def double(x):
    """Twice x."""
    return 2 * x  # the whole method
'''
CALLER = """
from {package}.callee import double

def node(x):
    return double(x)
"""


@pytest.fixture
def fingerprint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fingerprint of `node` in a package made of the two texts, as a new process sees it."""
    package = "sample_package"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def of(callee: str = CALLEE, caller: str = CALLER) -> str:
        (folder / "callee.py").write_text(callee)
        (folder / "caller.py").write_text(caller.format(package=package))
        for name in [m for m in sys.modules if m.startswith(package)]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for function in ("_imported_modules", "_source", "_module_fingerprint"):
            getattr(fingerprint, function).cache_clear()
        return code_fingerprint(importlib.import_module(f"{package}.caller").node)

    yield of
    for name in [m for m in sys.modules if m.startswith(package)]:
        del sys.modules[name]


def test_a_changed_callee_changes_the_fingerprint(fingerprint_of):
    assert fingerprint_of() != fingerprint_of(CALLEE.replace("2 * x", "3 * x"))


def test_an_import_inside_the_function_counts(fingerprint_of):
    inside = "def node(x):\n    from {package}.callee import double\n    return double(x)\n"
    assert fingerprint_of(caller=inside) != fingerprint_of(
        CALLEE.replace("2 * x", "3 * x"), caller=inside
    )


def test_comments_docstrings_and_layout_do_not_count(fingerprint_of):
    before = fingerprint_of()
    assert before == fingerprint_of(CALLEE.replace("Twice x.", "Doubles."))
    assert before == fingerprint_of(CALLEE.replace("# the whole method", ""))
    assert before == fingerprint_of("\n\n" + CALLEE)


def test_a_file_is_its_bytes_and_a_folder_its_names_and_bytes(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "a.bin"
    file.write_bytes(b"\x00\x01")
    of_file, of_folder = path_fingerprint(file), path_fingerprint(folder)
    file.touch()
    assert path_fingerprint(file) == of_file
    file.write_bytes(b"\x00\x03")
    assert path_fingerprint(file) != of_file
    assert path_fingerprint(folder) != of_folder
    file.write_bytes(b"\x00\x01")
    file.rename(folder / "b.bin")
    assert path_fingerprint(folder) != of_folder
    assert path_fingerprint(tmp_path / "nothing") is None


def test_parameters_are_equal_when_their_values_are():
    assert value_fingerprint({"a": 1, "b": [2]}) == value_fingerprint({"b": [2], "a": 1})
    assert value_fingerprint({"a": 1}) != value_fingerprint({"a": 2})
    assert value_fingerprint(ComputeParameters()) == value_fingerprint(ComputeParameters())
    assert value_fingerprint(ComputeParameters()) != value_fingerprint(
        ComputeParameters(precision="bf16")
    )


def test_how_a_machine_is_used_decides_nothing() -> None:
    used = value_fingerprint(ComputeParameters())
    other = ComputeParameters(processes=2, nodes=2, rendezvous="node1:29500", progress=False)
    assert value_fingerprint(other) == used
    assert value_fingerprint(ComputeParameters(precision="bf16")) != used
