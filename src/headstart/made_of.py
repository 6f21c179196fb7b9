"""What a node's outputs were made of, in one small JSON file beside them, and what has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headstart.datasets.atomic import replace_whole

_MOST_NAMED = 3  # changes of one kind that a reason spells out


@dataclass(frozen=True)
class MadeOf:
    """All that a node's outputs depend on. There is no path and no time in it.

    Attributes:
        code: full name of each function, class and constant that the node calls -> digest.
        libraries: name -> version.
        given: name -> what the pipeline gives the node's function beside its inputs.
        parameters: name -> value.
        inputs: name -> digest of its content.
    """

    code: Mapping[str, str]
    libraries: Mapping[str, str]
    given: Mapping[str, Any]
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    def changes_since(self, before: MadeOf) -> Iterator[str]:
        """What is not as it was, in words.

        Args:
            before: of the last run.
        """
        yield from _named("code", before.code, self.code, values=False)
        yield from _named("library", before.libraries, self.libraries)
        yield from _named("argument", before.given, self.given)
        yield from _named("parameter", before.parameters, self.parameters)
        yield from _named("input", before.inputs, self.inputs, values=False)


@dataclass(frozen=True)
class Record:
    """What a node's last successful run left.

    Attributes:
        made_of: what its outputs were made of.
        outputs: name -> digest of its content.
    """

    made_of: MadeOf
    outputs: Mapping[str, str]


def read_record(file: Path) -> Record | None:
    """A record; None where there is none, or one that cannot be read, which is as good as none.

    Args:
        file: of the record.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        record = Record(MadeOf(**content.pop("made_of")), **content)
        parts = [*vars(record.made_of).values(), record.outputs]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if all(isinstance(part, dict) for part in parts) else None


def write_record(file: Path, record: Record) -> None:
    """Write a record, whole or not at all.

    Args:
        file: of the record.
        record: what it shall say.

    Raises:
        OSError: it cannot be written.
    """
    with replace_whole(file) as beside:
        beside.write_text(json.dumps(asdict(record), indent=1, default=str), encoding="utf-8")


def _named(
    kind: str, before: Mapping[str, Any], now: Mapping[str, Any], values: bool = True
) -> Iterator[str]:
    """`kind name changed: old -> new`, of the first few that differ; the rest is counted."""
    # What is new or gone often follows from what has changed.
    differing = sorted(_differing("", before, now), key=lambda one: None in one)
    for name, old, new in differing[:_MOST_NAMED]:
        how = f"changed: {old} -> {new}" if values and None not in (old, new) else "changed"
        if old is None:
            how = f"is new: {new}" if values else "is new"
        elif new is None:
            how = "is gone"
        yield f"{kind} {name} {how}"
    if len(differing) > _MOST_NAMED:
        yield f"{len(differing) - _MOST_NAMED} more changes of the {kind}"


def _differing(prefix: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of all that differs in two nested dictionaries."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            name = f"{prefix}.{key}" if prefix else key
            if key not in before:
                yield name, None, json.dumps(now[key], default=str)
            elif key not in now:
                yield name, json.dumps(before[key], default=str), None
            else:
                yield from _differing(name, before[key], now[key])
    else:
        old, new = (json.dumps(value, sort_keys=True, default=str) for value in (before, now))
        if old != new:
            yield prefix, old, new
