"""Named arrays in one safetensors file, with what is to be known of them in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import DatasetError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headstart.datasets.atomic import replace_whole


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write named arrays and facts (JSON) to one file, whole or not at all.

    Args:
        path: the file.
        arrays: name -> array.
        facts: JSON-able; stands in the file's header.
    """
    with replace_whole(path) as beside:
        beside.write_bytes(to_bytes(arrays, facts))


def to_bytes(arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> bytes:
    """The content of the file that `write_arrays` writes."""
    in_order = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    return bytes(save(in_order, metadata={"facts": json.dumps(facts)}))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Returns:
        The arrays by name, and the facts.

    Raises:
        DatasetError: the file is missing or damaged; names it.
    """
    if not path.is_file():
        raise DatasetError(f"There is no file {path}. Run the pipeline that makes it first.")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, json.loads((file.metadata() or {})["facts"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"The file {path} is damaged ({error}). Delete it and run again."
        ) from error
