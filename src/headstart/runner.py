"""A Kedro runner that does not do unchanged work again.

A node is skipped when its code, its parameters and the content of its inputs are those of its last
successful run, and its outputs are, byte for byte, what that run wrote. What a node was made of
is kept beside its outputs, in one small JSON file a node.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner
from kedro.runner.task import Task
from pluggy import PluginManager

from headstart.datasets.atomic import replace_whole
from headstart.fingerprint import code_fingerprint, path_fingerprint, value_fingerprint

logger = logging.getLogger(__name__)

_ABSENT = "absent"
_RECORDS = ".made_of"  # folder of the records, beside the outputs that they speak of


class IncrementalRunner(SequentialRunner):
    """Runs the nodes one after the other and skips those whose work is done.

    Args:
        is_async: as in Kedro's runners.
        force: run every node, changed or not.
    """

    def __init__(self, is_async: bool = False, force: bool = False):
        super().__init__(is_async=is_async)
        self._force = force
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
        uses = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        skipped = 0
        for number, node in enumerate(pipeline.nodes, start=1):
            made_of = self._made_of(node, catalog)
            reason = "asked for" if self._force else self._why(node, made_of, catalog)
            if reason is None:
                skipped += 1
                logger.debug("%s is unchanged", node.name)
                continue
            logger.info("%d/%d %s (%s)", number, len(pipeline.nodes), node.name, reason)
            Task(
                node=node,
                catalog=catalog,
                hook_manager=hook_manager,
                is_async=self._is_async,
                run_id=run_id,
            ).execute()
            for name in node.outputs:
                self._digests.pop(name, None)
            outputs = {name: self._digest(name, catalog) for name in node.outputs}
            _remember(_record_of(node, catalog), {**made_of, "outputs": outputs})
            self._clear_checkpoints(node, catalog)
            self._release_datasets(node, catalog, uses, pipeline)
        if skipped:
            logger.info(
                "%d of %d nodes were unchanged since their last run and are not run again "
                "(--force runs them all the same).",
                skipped,
                len(pipeline.nodes),
            )

    def _made_of(self, node: Node, catalog: CatalogProtocol) -> dict[str, Any]:
        inputs = {name: self._digest(name, catalog) for name in node.inputs}
        return {"code": code_fingerprint(node.func), "inputs": inputs}

    def _why(self, node: Node, made_of: dict[str, Any], catalog: CatalogProtocol) -> str | None:
        """Why the node has to run; None when it has not."""
        record = _recall(_record_of(node, catalog))
        if record is None:
            return "new"
        if record["code"] != made_of["code"]:
            return "code changed"
        for name, digest in made_of["inputs"].items():
            if digest == _ABSENT or record["inputs"].get(name) != digest:
                kind = "parameter" if name.startswith("params:") else "input"
                return f"{kind} {name.removeprefix('params:')} changed"
        if record["inputs"].keys() != made_of["inputs"].keys():
            return "inputs changed"
        for name in node.outputs:
            digest = self._digest(name, catalog)
            if digest == _ABSENT or record["outputs"].get(name) != digest:
                return f"output {name} missing or damaged"
        return None

    def _digest(self, name: str, catalog: CatalogProtocol) -> str:
        """Fingerprint of a dataset's content as it stands on disk now, computed once a run."""
        if name not in self._digests:
            self._digests[name] = self._compute_digest(name, catalog)
        return self._digests[name]

    @staticmethod
    def _compute_digest(name: str, catalog: CatalogProtocol) -> str:
        if name.startswith("params:") or name == "parameters":
            return value_fingerprint(catalog.load(name))
        dataset = catalog.get(name)
        fingerprint = getattr(dataset, "fingerprint", None)
        if fingerprint is not None:
            return str(fingerprint())
        path = _path_of(dataset)
        return (path_fingerprint(path) if path else None) or _ABSENT

    def _clear_checkpoints(self, node: Node, catalog: CatalogProtocol) -> None:
        """The node's outputs are whole now: its checkpoints have served."""
        from headstart.datasets import CheckpointsDataset

        for name in node.inputs:
            dataset = catalog.get(name)
            if isinstance(dataset, CheckpointsDataset):
                dataset.load().clear()


def _record_of(node: Node, catalog: CatalogProtocol) -> Path | None:
    """The node's record; None where no output of it stays."""
    for name in node.outputs:
        path = _path_of(catalog.get(name))
        if path is not None:
            return path.parent / _RECORDS / f"{node.name}.json"
    return None


def _recall(file: Path | None) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8")) if file else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # a record that cannot be read is as good as none
    return record if isinstance(record, dict) else None


def _remember(file: Path | None, record: dict[str, Any]) -> None:
    if file is not None:
        with replace_whole(file) as beside:
            beside.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _path_of(dataset: AbstractDataset[Any, Any] | None) -> Path | None:
    path = getattr(dataset, "_filepath", None)
    return Path(str(path)) if path is not None else None
