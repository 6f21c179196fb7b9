"""What stands in a module's text: its units, its imports, and the names that a unit's text uses."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)

# A name -> each (module, name in it; None: the module itself) that it can mean.
Imports = dict[str, list[tuple[str, str | None]]]


@dataclass
class ModuleText:
    """The top of a module.

    Attributes:
        package: that its relative imports count from.
        units: name -> the statements that give it its meaning.
        others: statements that give no name a meaning, and blocks.
        imports: what imported names mean.
        stars: modules of `from module import *`.
        loads: what is imported with it, modules and names in them.
    """

    package: str = ""
    units: dict[str, list[ast.stmt]] = field(default_factory=dict)
    others: list[ast.stmt] = field(default_factory=list)
    imports: Imports = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    loads: set[str] = field(default_factory=set)


def read_module(path: Path, package: str) -> ModuleText:
    """Parse a module; comments, docstrings and layout are dropped.

    Args:
        path: its file.
        package: that relative imports count from.
    """
    module = ModuleText(package)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _drop_docstrings(tree)
    for statement in tree.body:
        loaded = not _only_for_types(statement)
        for node in done_at_import(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                _enter(node, package, module.imports, module.loads if loaded else set())
        if loaded and not isinstance(statement, ast.Import | ast.ImportFrom):
            names = _bound(statement)
            for name in names:
                module.units.setdefault(name, []).append(statement)
            if not names or isinstance(statement, _BLOCKS):
                module.others.append(statement)
    module.stars = [imported for imported, _ in module.imports.pop("*", [])]
    return module


class UnitText:
    """The text of a unit.

    Args:
        statements: of the unit.
        package: that relative imports count from.

    Attributes:
        chains: every `a.b.c` in it as its names; the first is empty where it is no name.
        strings: in it.
        imports: what names mean that are imported inside it.
        loads: modules, and names in them, that are imported inside it.
    """

    def __init__(self, statements: Iterable[ast.stmt], package: str):
        self.chains: set[tuple[str, ...]] = set()
        self.strings: set[str] = set()
        self.imports: Imports = {}
        self.loads: set[str] = set()
        waiting: list[ast.AST] = list(statements)
        while waiting:
            node = waiting.pop()
            chain = chain_of(node)
            if chain:
                self.chains.add(chain)
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                _enter(node, package, self.imports, self.loads)
            elif isinstance(node, ast.Attribute):
                self.chains.add(("", node.attr))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.strings.add(node.value)
            waiting += ast.iter_child_nodes(node)


def chain_of(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` as its names; nothing for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def called_at_import(statement: ast.stmt) -> Iterator[ast.expr]:
    """What a statement at the top of a module calls when the module is imported."""
    for node in done_at_import(statement):
        if isinstance(node, ast.Call):
            yield node.func
        elif isinstance(node, _DEFINITIONS):
            yield from node.decorator_list
            if isinstance(node, ast.ClassDef):
                yield from (keyword.value for keyword in node.keywords)  # a metaclass


def done_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement at the top of a module does at once: all but the bodies of functions."""
    yield node
    is_function = isinstance(node, (*_FUNCTIONS, ast.Lambda))
    for name, value in ast.iter_fields(node):
        if not (is_function and name == "body"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from done_at_import(child)


def _bound(statement: ast.AST) -> set[str]:
    """Names that a statement gives a meaning at the top of its module."""
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
        return {statement.id}
    return set().union(*map(_bound, ast.iter_child_nodes(statement)))


def _enter(
    node: ast.Import | ast.ImportFrom, package: str, imports: Imports, loads: set[str]
) -> None:
    """Enter what the names of an import mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            meant = (alias.name if alias.asname else first, None)
            imports.setdefault(alias.asname or first, []).append(meant)
            loads.add(alias.name)
        return
    above = package.split(".")
    above = above[: len(above) + 1 - node.level] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        imports.setdefault(alias.asname or alias.name, []).append((module, alias.name))
        loads |= {module, f"{module}.{alias.name}"}


def _only_for_types(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and chain_of(statement.test)[-1:] == ("TYPE_CHECKING",)
        and not statement.orelse
    )


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_docstring(s)]  # type: ignore[attr-defined]


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
