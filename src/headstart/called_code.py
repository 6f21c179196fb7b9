"""What of the project's code a function calls, found by following names through the text.

A *unit* is what one name means at the top of a module: a function, a class as a whole, a constant
with everything that is assigned to it. Starting at a node's function, every name in a unit's text
is followed, through imports (also those inside functions and re-exports) and through attributes of
modules, to the units of the project that it can mean; these are followed likewise. Decorators,
default arguments, base classes and type hints are text, too. So is a registry, a dictionary of
functions or classes: who uses it, uses all of its entries.

Nothing is imported or run, and where the text does not tell, more is taken, never less:

- a local variable that has the name of a unit counts as that unit;
- a module that is handed on as an object (`getattr(module, name)`) counts as a whole;
- a dynamic import, `eval`, `sys.modules` or `__subclasses__` counts as the whole project;
- what a module does when it is imported (calls of the project's code, decorators that may
  register something, changes of a dictionary) counts for each unit of it, and of the modules that
  import it;
- a unit that names a file beside its module (a template, a table), or asks where it is
  (`__file__`), counts with that file, or with all of them.

Methods of an object that comes from somewhere else are found with the class that made it: the
runner adds the classes of the datasets that a node loads.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.module_text import ModuleText, UnitText, called_at_import, chain_of, read_module

_ALL = "*"  # in place of a unit's name: all of the module, or of the package
_IMPORT = "<import>"  # likewise: what the module does when it is imported

_ANYTHING = {"__import__", "import_module", "__subclasses__"}
_PLACE = {"__file__", "__path__", "__spec__", "resources", "pkgutil", "PackageLoader"}

Unit = tuple[str, str]  # module and name


class CalledCode:
    """The code of one top-level package, or of a single module; each file is read once.

    Args:
        package: its name.
        folder: where it is; for a single module the file's path without `.py`.
    """

    def __init__(self, package: str, folder: Path):
        self._package = package
        self._folder = folder
        self._paths: dict[str, Path | None] = {}
        self._modules: dict[str, ModuleText] = {}
        self._units: dict[Unit, tuple[str, frozenset[Unit]]] = {}

    def of(self, module: str, name: str) -> dict[str, str]:
        """The units that a unit calls, and itself.

        Args:
            module: full name of the module.
            name: of the unit; one that is not at the module's top stands for the whole module.

        Returns:
            Full name of each unit -> digest of its text, without comments, docstrings and layout.
        """
        found: dict[Unit, str] = {}
        waiting = [(module, name if name in self._module(module).units else _ALL)]
        while waiting:
            unit = waiting.pop()
            if unit not in found:
                if unit not in self._units:
                    self._units[unit] = self._read(*unit)
                found[unit], referred = self._units[unit]
                waiting += referred
        return {f"{m}.{n}": digest for (m, n), digest in sorted(found.items()) if digest}

    def _read(self, module: str, name: str) -> tuple[str, frozenset[Unit]]:
        """Digest of a unit's text, and the units that it refers to."""
        if name == _ALL:
            return self._all(module)
        found = self._module(module)
        statements = self._effects(found) if name == _IMPORT else found.units[name]
        text = UnitText(statements, found.package)
        meanings = {
            (chain[0], unit)
            for chain in text.chains
            for unit in self._meanings(module, chain, text)
        }
        loads = text.loads | (found.loads if name == _IMPORT else set()) | {module}
        loads |= {m.rpartition(".")[0] for m in loads}
        referred = {unit for _, unit in meanings} | {(m, _IMPORT) for m in loads}
        names = {name for chain in text.chains for name in chain}
        firsts = {chain[0] for chain in text.chains}
        if names & _ANYTHING or firsts & {"eval", "exec"} or ("sys", "modules") in text.chains:
            referred.add((self._package, _ALL))
        if "globals" in firsts:
            referred.add((module, _ALL))
        ours = frozenset(unit for unit in referred if self._path(unit[0]))
        if not statements:
            return "", ours
        digest = hashlib.sha256(repr(sorted(meanings)).encode())
        for statement in statements:
            digest.update(ast.dump(statement).encode())
        for file in self._files_beside(module):
            if names & _PLACE or any(Path(s).name == file.name for s in text.strings):
                digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()[:16], ours

    def _all(self, module: str) -> tuple[str, frozenset[Unit]]:
        """All of a module with what it imports, and all in a package; the digest is of names."""
        found = self._module(module)
        units = {(module, name) for name in (*found.units, _IMPORT)}
        for target, inside in (one for means in found.imports.values() for one in means):
            units |= set(self._follow(target, (inside,) if inside else ()))
        units |= {(star, _ALL) for star in found.stars}
        names = hashlib.sha256(repr([sorted(found.imports.items()), sorted(units)]).encode())
        folder = self._folder.joinpath(*module.split(".")[1:])
        for path in folder.glob("*") if folder.is_dir() and found.package in ("", module) else ():
            if path.suffix == ".py" or path.is_dir():
                units.add((f"{module}.{path.stem}", _ALL))
        return names.hexdigest()[:16], frozenset(unit for unit in units if self._path(unit[0]))

    def _meanings(self, module: str, chain: Sequence[str], text: UnitText) -> Iterator[Unit]:
        """What `a.b.c` in a unit's text can mean; of other packages their name."""
        first, *rest = chain
        found = self._module(module)
        imported = [*text.imports.get(first, ()), *found.imports.get(first, ())]
        for target, inside in imported:
            yield from self._follow(target, ([inside] if inside else []) + rest)
        if first in found.units:
            yield module, first
        elif not imported:
            for star in found.stars:
                if self._defines(star, first):
                    yield from self._follow(star, chain)

    def _follow(
        self, module: str, names: Sequence[str], seen: frozenset[Unit] = frozenset()
    ) -> Iterator[Unit]:
        """What `module.names[0].names[1]…` can mean."""
        if self._path(module) is None:
            yield module, ".".join(names[:1])
            return
        if not names:
            yield module, _ALL
            return
        first, rest = names[0], list(names[1:])
        if (module, first) in seen:
            return
        seen |= {(module, first)}
        found = self._module(module)
        if first in found.units:
            yield module, first
        for target, inside in found.imports.get(first, ()):
            yield from self._follow(target, ([inside] if inside else []) + rest, seen)
        if self._path(f"{module}.{first}"):
            yield from self._follow(f"{module}.{first}", rest, seen)
        elif first not in found.units and first not in found.imports:
            stars = [star for star in found.stars if self._defines(star, first)]
            for star in stars:
                yield from self._follow(star, names, seen)
            if not stars:
                yield module, _ALL  # of a module's own __getattr__, or set from outside

    def _defines(self, module: str, name: str) -> bool:
        found = self._module(module)
        return (
            name in found.units
            or name in found.imports
            or any(self._defines(star, name) for star in found.stars)
        )

    def _effects(self, module: ModuleText) -> list[ast.stmt]:
        """Statements that do something when the module is imported, beside giving names a meaning.

        They change what stands elsewhere, or call the project's code, which might: as a decorator
        that registers, or a base class that takes notice of its subclasses.
        """
        calling = [
            statement
            for statements in module.units.values()
            for statement in statements
            if any(self._is_ours(module, called) for called in called_at_import(statement))
            or self._is_noticed(module, statement)
        ]
        return list({id(statement): statement for statement in [*module.others, *calling]}.values())

    def _is_ours(self, module: ModuleText, expression: ast.expr) -> bool:
        names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        return any(
            name in module.units or any(self._path(m) for m, _ in module.imports.get(name, ()))
            for name in names
        )

    def _is_noticed(self, module: ModuleText, statement: ast.stmt) -> bool:
        """Whether it is a class with a base class of the project that has `__init_subclass__`."""
        for base in statement.bases if isinstance(statement, ast.ClassDef) else ():
            first, *rest = chain_of(base) or ("",)
            above = [(module, s) for s in module.units.get(first, ()) if s is not statement]
            for target, inside in module.imports.get(first, ()):
                for m, n in self._follow(target, ([inside] if inside else []) + rest):
                    above += [(self._module(m), s) for s in self._module(m).units.get(n, ())]
            for where, one in above:
                if any(getattr(part, "name", "") == "__init_subclass__" for part in ast.walk(one)):
                    return True
                if self._is_noticed(where, one):
                    return True
        return False

    def _module(self, name: str) -> ModuleText:
        if name not in self._modules:
            path = self._path(name)
            if path is None or path.is_dir():
                self._modules[name] = ModuleText()
            else:
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                self._modules[name] = read_module(path, package)
        return self._modules[name]

    def _path(self, module: str) -> Path | None:
        """The module's file, or the folder of a package without one; None: not of the project."""
        if module not in self._paths:
            package, *rest = module.split(".")
            place = self._folder.joinpath(*rest)
            files = (place.with_name(f"{place.name}.py"), place / "__init__.py", place)
            ours = package == self._package
            self._paths[module] = next((f for f in files if ours and f.exists()), None)
        return self._paths[module]

    def _files_beside(self, module: str) -> list[Path]:
        """Files beside a module that are not Python."""
        path = self._path(module)
        assert path is not None
        return sorted(
            file
            for file in path.parent.iterdir()
            if file.is_file() and not file.suffix.startswith(".py") and file.name[0] != "."
        )
