# ruff: noqa: E501 - the table of edits
"""Which functions count as changed after an edit: never one too few, and few too many."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.called_code import CalledCode

PACKAGE = {
    "__init__.py": "",
    "nodes.py": '''
"""Nodes."""
from __future__ import annotations
import numpy as np
from typing import TYPE_CHECKING
from made import shapes
from made.arithmetic import double as twice, Counter
from made.arithmetic import FACTOR
if TYPE_CHECKING:
    from made.hints import Hint

def calls(x):
    """Doc."""
    y = twice(x)  # a comment
    return y

def reads(x): return x * FACTOR
def counts(x): return Counter().up(x)
def decorated(x):
    from made.wrapped import same
    return same(x)
def by_default(x, how=twice): return how(x)
def nested(x):
    from made.inner import hidden
    return hidden(x)
def by_attribute(x): return shapes.area(x)
def by_string(x, name): return getattr(shapes, name)(x)
def registered(x, name):
    from made.registry import METHODS
    return METHODS[name](x)
def plugged(x, name):
    from made.plugins import PLUGINS
    return PLUGINS[name](x)
def hinted(x: Hint) -> None: return None
def shows(x):
    from made.page import render
    return render(x)
def dynamic(x, name):
    import importlib
    return importlib.import_module(name).run(x)
def external(x): return np.sin(x)
def inherits(x):
    from made.derived import Derived
    return Derived().go(x)
def subclassed(x, name):
    from made.derived import Noticed
    return Noticed.known[name]().go(x)
def by_whole_name(x):
    import made.inner
    return made.inner.hidden(x)
def from_star(x):
    from made.starred import hidden
    return hidden(x)
def alone(x): return x + 1
''',
    "arithmetic.py": """
FACTOR = 2
OTHER = 3
def double(x): return _scaled(x, 2)
def _scaled(x, by): return x * by
def unused(x): return x
class Counter:
    step = 1
    def up(self, x): return x + self.step
""",
    "decorators.py": """
import functools
def logged(f):
    @functools.wraps(f)
    def inner(*a): return f(*a)
    return inner
""",
    "wrapped.py": """
from made.decorators import logged
@logged
def same(x): return x
""",
    "inner.py": "def hidden(x): return x - 1\n",
    "starred.py": "from made.inner import *\n",
    "shapes/__init__.py": "from made.shapes.square import area\n",
    "shapes/square.py": "def area(x): return x ** 2\ndef edge(x): return x\n",
    "registry.py": """
from made.methods import one, two
METHODS = {"one": one, "two": two}
""",
    "methods.py": """
def one(x): return 1
def two(x): return 2
def three(x): return 3
""",
    "plugins.py": """
from made.methods import one
PLUGINS = {}
def plugin(f):
    PLUGINS[f.__name__] = f
    return f
PLUGINS["one"] = one
@plugin
def two(x): return 2
""",
    "hints.py": "class Hint:\n    size: int = 1\n",
    "page.py": """
from pathlib import Path
PAGE = "page.jinja"
def render(x): return (Path(__file__).parent / PAGE).read_text()
""",
    "page.jinja": "<p>{{ x }}</p>",
    "derived.py": """
class Base:
    def go(self, x): return x
class Derived(Base):
    pass
class Noticed:
    known = {}
    def __init_subclass__(cls): Noticed.known[cls.__name__] = cls
class Child(Noticed):
    def go(self, x): return -x
""",
}
NODES = [
    line.split("(")[0].removeprefix("def ")
    for line in PACKAGE["nodes.py"].splitlines()
    if line.startswith("def ")
]
ANY = {"dynamic"}  # what cannot be told counts as everything

# file, what is replaced by what, and the nodes whose code this changes
EDITS = {
    "a callee in another module": ("arithmetic.py", "_scaled(x, 2)", "_scaled(x, 3)", {"calls", "by_default"}),
    "the callee of a callee": ("arithmetic.py", "x * by", "by * x", {"calls", "by_default"}),
    "a constant": ("arithmetic.py", "FACTOR = 2", "FACTOR = 4", {"reads"}),
    "a constant that grows": ("arithmetic.py", "OTHER = 3", "OTHER = 3\nFACTOR += 1", {"reads"}),
    "a constant nobody reads": ("arithmetic.py", "OTHER = 3", "OTHER = 4", set()),
    "a function nobody calls": ("arithmetic.py", "unused(x): return x", "unused(x): return 0", set()),
    "a method": ("arithmetic.py", "x + self.step", "x - self.step", {"counts"}),
    "a class attribute": ("arithmetic.py", "step = 1", "step = 2", {"counts"}),
    "a decorator": ("decorators.py", "return f(*a)", "return -f(*a)", {"decorated"}),
    "a base class": ("derived.py", "go(self, x): return x\n", "go(self, x): return 0\n", {"inherits"}),
    "an import inside a function": ("inner.py", "x - 1", "x - 2", {"nested", "by_whole_name", "from_star"}),
    "a re-export": ("shapes/square.py", "x ** 2", "x ** 3", {"by_attribute", "by_string"}),
    "what a module could be asked for": ("shapes/__init__.py", "area\n", "area, edge\n", {"by_string"}),
    "an entry of a registry": ("methods.py", "return 2", "return 22", {"registered"}),
    "one more entry": ("registry.py", '"two": two', '"two": two, "three": one', {"registered"}),
    "an entry set later": ("methods.py", "return 1", "return 11", {"registered", "plugged"}),
    "an entry that registers itself": ("plugins.py", "return 2", "return 22", {"plugged"}),
    "a subclass that is noticed": ("derived.py", "return -x", "return x", {"subclassed", "inherits"}),
    "a type hint": ("hints.py", "size: int = 1", "size: int = 2", {"hinted"}),
    "a template": ("page.jinja", "<p>", "<b>", {"shows"}),
    "its own text": ("nodes.py", "return x + 1", "return 1 + x", {"alone"}),
    "a local name": ("nodes.py", "y = twice(x)  # a comment\n    return y", "z = twice(x)\n    return z", {"calls"}),
    "a default argument": ("nodes.py", "how=twice", "how=abs", {"by_default"}),
    "another function under the same name": (
        "nodes.py", "double as twice", "unused as twice", {"calls", "by_default"}
    ),
    "another library under the same name": ("nodes.py", "import numpy as np", "import math as np", {"external"}),
    "a comment": ("nodes.py", "# a comment", "# another", set()),
    "a docstring": ("nodes.py", '"""Doc."""', '"""Another."""', set()),
    "layout": ("arithmetic.py", "x * by", "(x\n    * by)", set()),
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def code_of(folder: Path) -> dict[str, dict[str, str]]:
    code = CalledCode("made", folder)
    return {node: code.of("made.nodes", node) for node in NODES}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("before") / "made"
    write(folder, PACKAGE)
    return code_of(folder)


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_the_functions_that_can_meet_it(
    edit: str, before: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    file, old, new, changed = EDITS[edit]
    assert PACKAGE[file].count(old) == 1
    write(tmp_path / "made", {**PACKAGE, file: PACKAGE[file].replace(old, new)})
    after = code_of(tmp_path / "made")
    differing = {node for node in NODES if after[node] != before[node]}
    assert differing - ANY == changed
    assert not changed or differing >= ANY


def test_the_changed_unit_is_named(before: dict[str, dict[str, str]], tmp_path: Path) -> None:
    file, old, new, _ = EDITS["the callee of a callee"]
    write(tmp_path / "made", {**PACKAGE, file: PACKAGE[file].replace(old, new)})
    then, now = before["calls"], code_of(tmp_path / "made")["calls"]
    assert (
        then.keys()
        == now.keys()
        == {
            "made.nodes.calls",
            "made.arithmetic.double",
            "made.arithmetic._scaled",
        }
    )
    assert [name for name in then if then[name] != now[name]] == ["made.arithmetic._scaled"]


def test_where_the_package_stands_does_not_count(
    before: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    write(tmp_path / "elsewhere" / "deep" / "made", PACKAGE)
    assert code_of(tmp_path / "elsewhere" / "deep" / "made") == before


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14),
    edited=st.integers(0, 7),
    modules=st.lists(st.integers(0, 2), min_size=8, max_size=8),
)
def test_a_function_changes_exactly_when_it_reaches_the_edited_one(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, int]],
    edited: int,
    modules: list[int],
) -> None:
    """Any graph of calls, cyclic ones too, over any modules, against its transitive closure."""

    def files(version: int) -> dict[str, str]:
        texts = {f"m{m}.py": "from made import m0, m1, m2\n" for m in range(3)}
        for i in range(8):
            body = ", ".join(f"m{modules[b]}.f{b}(x)" for a, b in calls if a == i)
            one = version if i == edited else 0
            texts[f"m{modules[i]}.py"] += f"def f{i}(x): return [{one}, {body}]\n"
        return {"__init__.py": "", **texts}

    reached = {i: {i} for i in range(8)}
    for _ in range(8):
        for a, b in calls:
            reached[a] |= reached[b]
    found = []
    for version in (0, 1):
        folder = tmp_path_factory.mktemp("graph") / "made"
        write(folder, files(version))
        code = CalledCode("made", folder)
        found.append([code.of(f"made.m{modules[i]}", f"f{i}") for i in range(8)])
    for i, (then, now) in enumerate(zip(*found, strict=True)):
        assert (then != now) == (edited in reached[i])
