from functools import partial
from pathlib import Path

from headstart.experiment import base_configuration, read_experiment
from headstart.fingerprint import (
    code_fingerprint,
    code_units,
    library_versions,
    path_fingerprint,
    value_fingerprint,
)
from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import draws_of
from headstart.pipelines import checking


def test_code_is_found_through_partials_and_by_classes():
    assert code_units(partial(draws_of, 1)) == code_units(draws_of)
    assert "headstart.learning.splits.Draw" in code_units(draws_of)
    assert "headstart.learning.configuration.Parameters" in code_units(ComputeParameters)
    assert code_fingerprint(draws_of) != code_fingerprint(ComputeParameters)


def test_another_version_of_a_library_is_other_code(monkeypatch):
    before = code_fingerprint(draws_of)
    monkeypatch.setitem(library_versions(), "torch", "0.1")
    assert code_fingerprint(draws_of) != before


def test_what_only_lora_calls_belongs_to_its_nodes_and_the_evaluation(monkeypatch):
    from headstart import pipeline_registry

    parameters, catalog = base_configuration(Path(__file__).parent.parent)
    parameters["text"]["methods"].append("bitfit")
    experiment = read_experiment(parameters, catalog)
    monkeypatch.setattr(pipeline_registry, "_experiment", experiment)
    pipelines = pipeline_registry.register_pipelines()
    nodes = pipelines["__default__"].nodes
    # Checks plan every way of training. They run again, and what they write stays the same.
    code = {
        node.name: code_units(node.func)
        for node in nodes
        if not node.name.startswith(f"{checking.NAMESPACE}.")
    }

    def calling(unit: str) -> set[str]:
        return {name for name, units in code.items() if f"headstart.learning.{unit}" in units}

    fits = {name for name in code if name.startswith("lora.") and "collect" not in name}
    lora = {name for name in fits if not name.endswith(".bitfit")}
    handed_over = {"prediction.newsgroups.hand_over"}
    assert "lora.newsgroups.minilm.lora" in lora
    assert calling("text.lora.add_lora") == lora | handed_over
    assert calling("text.lora.merge_lora") == handed_over
    assert calling("text.bitfit.train_biases") == (
        {"lora.newsgroups.minilm.bitfit", "lora.minilm.costs"} | handed_over
    )
    assert calling("text.adaptation.fit_text") > fits - {"lora.minilm.costs"}


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
