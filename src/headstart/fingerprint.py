"""Fingerprints of code, parameters and data: equal exactly when the content is equal.

A time stamp says nothing here, so a touched file, another machine or a fresh clone changes
nothing, and one flipped byte does.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from headstart.called_code import CalledCode

# Results can change with these, whatever the project's own code says.
_LIBRARIES = (
    *("numpy", "pandas", "peft", "pillow", "scikit-learn", "scipy", "timm", "tokenizers", "torch"),
    *("torchvision", "transformers"),
)


def code_units(function: Callable[..., Any]) -> dict[str, str]:
    """What a function calls of its own package (`headstart.called_code`), and itself.

    Args:
        function: a function or a class of a package; partials and wrappers are looked through, to
            functions that are given to a partial, too.

    Returns:
        Full name of each function, class and constant -> digest of its text. Comments, docstrings
        and layout do not count. Read once a process: what is loaded is what was read.
    """
    if isinstance(function, partial):
        given = [part for part in function.args if callable(part)]
        return {
            name: digest for f in (function.func, *given) for name, digest in code_units(f).items()
        }
    function = inspect.unwrap(function)
    file = inspect.getsourcefile(function)
    if file is None:
        raise ValueError(f"{function} has no source text")
    path = Path(file)
    place = path.parent if path.name == "__init__.py" else path.with_suffix("")
    package, *inside = function.__module__.split(".")
    folder = place.parents[len(inside) - 1] if inside else place
    unit = function.__qualname__.partition(".")[0]
    return _called_code(package, folder).of(function.__module__, unit)


def code_fingerprint(function: Callable[..., Any]) -> str:
    """Fingerprint of a function's code, of all that it calls, and of the libraries' versions.

    Args:
        function: as for `code_units`.
    """
    return value_fingerprint([function.__qualname__, code_units(function), library_versions()])


def path_fingerprint(path: Path) -> str | None:
    """Fingerprint of a file's bytes, or of the names and bytes of all files in a folder.

    Returns:
        None where nothing stands at the path.
    """
    digest = hashlib.sha256()
    if path.is_file():
        _add_file(digest, path)
    elif path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(str(file.relative_to(path)).encode() + b"\0")
            _add_file(digest, file)
    else:
        return None
    return digest.hexdigest()


def value_fingerprint(value: Any) -> str:
    """Fingerprint of a parameter: JSON-like values and pydantic models."""
    text = json.dumps(plain_value(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def plain_value(value: Any) -> Any:
    """A parameter as JSON has it.

    Args:
        value: JSON-like, or a pydantic model.
    """
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


@cache
def library_versions() -> dict[str, str]:
    """Python and the libraries that results can change with -> their versions."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: importlib.metadata.version(name) for name in _LIBRARIES}}


def _add_file(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())


_called_code = cache(CalledCode)
