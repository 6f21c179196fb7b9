"""A Kedro runner that does not do unchanged work again.

A node is skipped when its code, its parameters and the content of its inputs are those of its last
successful run, and its outputs are, byte for byte, what that run wrote. What a node was made of
is kept beside its outputs (`headstart.made_of`).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import click
from kedro.io import AbstractDataset, CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner
from kedro.runner.task import Task
from kedro.utils import load_obj
from pluggy import PluginManager

from headstart.datasets.checkpoints import CheckpointsDataset
from headstart.errors import HeadstartError
from headstart.fingerprint import (
    code_units,
    library_versions,
    path_fingerprint,
    plain_value,
)
from headstart.made_of import MadeOf, Record, read_record, write_record
from headstart.run_lock import only_run

logger = logging.getLogger(__name__)

_ABSENT = "absent"
_RECORDS = ".made_of"  # folder of the records, beside the outputs that they speak of
_OURS = __name__.partition(".")[0]


class IncrementalRunner(SequentialRunner):
    """Runs the nodes one after the other and skips those whose work is done.

    Args:
        is_async: as in Kedro's runners.
        force: run every node, changed or not.
        explain: run nothing; print which nodes would run, and why.
        wait: while another run works on the same data, instead of refusing.
        alone: keep other runs from the data. Not for the parts of one run that are started side
            by side by an orchestrator, which knows what waits for what.
    """

    def __init__(
        self,
        is_async: bool = False,
        force: bool = False,
        explain: bool = False,
        wait: bool = False,
        alone: bool = True,
    ):
        super().__init__(is_async=is_async)
        self._force = force
        self._explain = explain
        self._wait = wait
        self._alone = alone
        self._digests: dict[str, str] = {}

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        self._validate_catalog(catalog)
        self._validate_nodes(pipeline.nodes)
        self._set_manager_datasets(catalog)
        self._digests.clear()
        # All at once, and first: a file that is edited during the run counts as it was, so that
        # the next run sees the change.
        code = {node.name: _code(node, catalog) for node in pipeline.nodes}
        if self._explain:
            self._print_explanation(pipeline, catalog, code)
        elif self._alone:
            with only_run(self._wait):
                self._run_nodes(pipeline, catalog, code, hook_manager, run_id)
        else:
            self._run_nodes(pipeline, catalog, code, hook_manager, run_id)

    def _run_nodes(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        code: dict[str, dict[str, str]],
        hook_manager: PluginManager | None,
        run_id: str | None,
    ) -> None:
        uses = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        skipped = 0
        for number, node in enumerate(pipeline.nodes, start=1):
            made_of = self._made_of(node, catalog, code[node.name])
            reasons = self._reasons(node, made_of, catalog)
            if reasons:
                logger.info(
                    "%d/%d %s (%s)", number, len(pipeline.nodes), node.name, "; ".join(reasons)
                )
                Task(
                    node=node,
                    catalog=catalog,
                    hook_manager=hook_manager,
                    is_async=self._is_async,
                    run_id=run_id,
                ).execute()
                for name in node.outputs:
                    self._digests.pop(name, None)
                file = _record_of(node, catalog)
                if file is not None:
                    outputs = {name: self._digest(name, catalog) for name in node.outputs}
                    write_record(file, Record(made_of, outputs))
            else:
                skipped += 1
                logger.debug("%s is unchanged", node.name)
            _clear_checkpoints(node, catalog)
            self._release_datasets(node, catalog, uses, pipeline)
        if skipped:
            logger.info(
                "%d of %d nodes were unchanged since their last run and are not run again "
                "(--force runs them all the same).",
                skipped,
                len(pipeline.nodes),
            )

    def _print_explanation(
        self, pipeline: Pipeline, catalog: CatalogProtocol, code: dict[str, dict[str, str]]
    ) -> None:
        """Which nodes would run, and why."""
        remade: set[str] = set()
        rows = []
        for node in pipeline.nodes:
            made_of = self._made_of(node, catalog, code[node.name], without=remade)
            reasons = self._reasons(node, made_of, catalog, remade)
            if reasons:
                remade |= set(node.outputs)
            rows.append((node.name, "run" if reasons else "skip", "; ".join(reasons)))
        width = max((len(name) for name, _, _ in rows), default=0)
        for name, what, why in rows:
            click.echo(f"{name:<{width}}  {what:<4}  {why or 'unchanged'}")
        running = sum(what == "run" for _, what, _ in rows)
        click.echo(
            f"{running} of {len(rows)} nodes would run; one whose inputs turn out to be as they "
            "were is skipped all the same."
        )

    def _made_of(
        self,
        node: Node,
        catalog: CatalogProtocol,
        code: dict[str, str],
        without: Set[str] = frozenset(),
    ) -> MadeOf:
        parameters = [name for name in node.inputs if _is_parameter(name)]
        values = {name: plain_value(catalog.load(name)) for name in parameters}
        return MadeOf(
            code=code,
            libraries=library_versions(),
            given=_given(node),
            # As JSON gives them back, so that they can be compared.
            parameters=json.loads(
                json.dumps({n.removeprefix("params:"): v for n, v in values.items()}, default=str)
            ),
            inputs={
                name: self._digest(name, catalog)
                for name in node.inputs
                if name not in values and name not in without
            },
        )

    def _reasons(
        self,
        node: Node,
        made_of: MadeOf,
        catalog: CatalogProtocol,
        remade: Set[str] = frozenset(),
    ) -> list[str]:
        """Why the node has to run; nothing when it has not.

        Args:
            node: the node.
            made_of: what its outputs would be made of now.
            catalog: of the run.
            remade: datasets that nodes before it will make anew.
        """
        if self._force:
            return ["asked for"]
        file = _record_of(node, catalog)
        if file is None:
            return ["what it makes is not kept"]
        record = read_record(file)
        if record is None:
            return ["new"]
        known = {n: d for n, d in record.made_of.inputs.items() if n not in remade}
        reasons = list(made_of.changes_since(replace(record.made_of, inputs=known)))
        reasons += [f"input {name} will be made anew" for name in node.inputs if name in remade]
        reasons += [f"input {n} is not there" for n, d in made_of.inputs.items() if d == _ABSENT]
        for name in node.outputs:
            path = _path_of(catalog.get(name))
            try:
                if path is None or not path.exists():
                    reasons.append(f"output {name} missing")
                elif record.outputs.get(name) != self._digest(name, catalog):
                    reasons.append(f"output {name} damaged")
            except UnreadableError:
                reasons.append(f"output {name} cannot be read")
        return reasons

    def _digest(self, name: str, catalog: CatalogProtocol) -> str:
        """Fingerprint of a dataset's content as it stands on disk now, computed once a run."""
        if name not in self._digests:
            self._digests[name] = _compute_digest(name, catalog)
        return self._digests[name]


class UnreadableError(HeadstartError):
    """A file is there and cannot be read."""


def _compute_digest(name: str, catalog: CatalogProtocol) -> str:
    dataset = catalog.get(name)
    own = getattr(dataset, "fingerprint", None)
    path = _path_of(dataset)
    try:
        if own is not None:
            return str(own())
        return (path_fingerprint(path) if path else None) or _ABSENT
    except OSError as error:
        raise UnreadableError(
            f"{name}: {error.filename or path} cannot be read ({error.strerror or error}). Let it "
            "be read, or delete it if a node makes it, and run again."
        ) from error


def _code(node: Node, catalog: CatalogProtocol) -> dict[str, str]:
    """What the node calls, also by the methods of what its datasets load and save."""
    units = code_units(node.func)
    for name in (*node.inputs, *node.outputs):
        if not _is_parameter(name):
            for kind in _types(catalog.get(name)):
                units |= code_units(kind)
    return units


def _types(dataset: AbstractDataset[Any, Any] | None) -> Iterator[type]:
    """The project's types of a dataset, and of those that its configuration names."""
    if type(dataset).__module__.split(".")[0] == _OURS:
        yield type(dataset)
        waiting = list(vars(dataset).values())
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                kind = value.get("type")
                if isinstance(kind, str) and kind.split(".")[0] == _OURS:
                    yield load_obj(kind)
                waiting += value.values()


def _given(node: Node) -> dict[str, Any]:
    """What the pipeline gives the node's function beside its inputs; functions are code."""
    given = getattr(node.func, "args", ())
    return {str(i): value for i, value in enumerate(given) if not callable(value)}


def _is_parameter(name: str) -> bool:
    return name.startswith("params:") or name == "parameters"


def _clear_checkpoints(node: Node, catalog: CatalogProtocol) -> None:
    """The node's outputs are whole: its checkpoints have served."""
    for name in node.inputs:
        dataset = catalog.get(name)
        if isinstance(dataset, CheckpointsDataset):
            dataset.clear()


def _record_of(node: Node, catalog: CatalogProtocol) -> Path | None:
    """The node's record; None where no output of it stays."""
    for name in node.outputs:
        path = _path_of(catalog.get(name))
        if path is not None:
            return path.parent / _RECORDS / f"{node.name}.json"
    return None


def _path_of(dataset: AbstractDataset[Any, Any] | None) -> Path | None:
    path = getattr(dataset, "_filepath", None)
    local = getattr(dataset, "_protocol", "file") == "file"
    return Path(str(path)) if path is not None and local else None
