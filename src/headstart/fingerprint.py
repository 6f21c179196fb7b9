"""Fingerprints of code, parameters and data: equal exactly when the content is equal.

A time stamp says nothing here, so a touched file, another machine or a fresh clone changes
nothing, and one flipped byte does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

# Results can change with these, whatever the project's own code says.
_LIBRARIES = (
    *("numpy", "pandas", "peft", "pillow", "scikit-learn", "scipy", "timm", "tokenizers", "torch"),
    *("torchvision", "transformers"),
)


def code_fingerprint(function: Callable[..., Any]) -> str:
    """Fingerprint of a function's code: its module and all modules of the project it imports.

    Comments, docstrings and formatting do not count; files that are not Python beside a module
    (templates) do. Coarser than a call graph, and never misses a changed callee.

    Args:
        function: a function of a package; partials and wrappers are looked through.
    """
    function = inspect.unwrap(getattr(function, "func", function))
    digest = hashlib.sha256()
    digest.update(f"{function.__module__}.{function.__qualname__}".encode())
    for name in sorted(_imported_modules(function.__module__)):
        digest.update(name.encode())
        digest.update(_module_fingerprint(name).encode())
    digest.update(_library_versions().encode())
    return digest.hexdigest()


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
    """Fingerprint of a parameter: JSON-like values and pydantic models.

    Of a model that says which of its values are `deciding`, these alone: on how many machines a
    result is computed, or how often it is saved, does not change it.
    """
    if hasattr(value, "deciding"):
        value = value.deciding()
    elif hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _add_file(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())


@cache
def _imported_modules(start: str) -> frozenset[str]:
    """The module and all that it imports, directly or not, of the same top-level package."""
    package = start.split(".")[0]
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found or _source(name) is None:
            continue
        found.add(name)
        waiting += [n for n in _imports(name) if n.split(".")[0] == package]
    return frozenset(found)


def _imports(module: str) -> Iterator[str]:
    """Names of modules that a module's text imports, at its top or inside its functions."""
    for statement in ast.walk(_tree(module)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module
            # `from package import module` names a module, too.
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


@cache
def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _tree(module: str) -> ast.Module:
    path = _source(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _module_fingerprint(module: str) -> str:
    tree = _tree(module)
    for statement in ast.walk(tree):
        body = getattr(statement, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            del body[0]  # a docstring
    digest = hashlib.sha256(ast.dump(tree).encode())
    path = _source(module)
    assert path is not None
    if path.name == "__init__.py":
        return digest.hexdigest()
    for template in sorted(path.parent.glob("*.jinja")):
        _add_file(digest, template)
    return digest.hexdigest()


@cache
def _library_versions() -> str:
    python = f"python {sys.version_info.major}.{sys.version_info.minor}"
    return " ".join([python, *(f"{n} {importlib.metadata.version(n)}" for n in _LIBRARIES)])
