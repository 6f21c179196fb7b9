"""Checkpoints: what a training needs to go on after it was killed, and what is finished already.

A checkpoint is one safetensors file, its metadata as JSON in the file's header; nothing is
pickled. It is written beside, flushed to the disk and renamed, so that a file is either whole or
absent, whenever the process dies. Each carries the signature of what it was made of: a checkpoint
of other data, parameters or code is ignored and replaced.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize

from headstart.errors import HeadstartError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What stands in one checkpoint file.

    Attributes:
        tensors: named tensors, on the CPU.
        metadata: JSON-like values; floats come back bit for bit.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder of checkpoints; it need not exist before the first is saved.

    Attributes:
        path: the folder.
    """

    path: Path

    def at(self, name: str) -> CheckpointFolder:
        """The folder of one training among several.

        Args:
            name: of the sub-folder.
        """
        return CheckpointFolder(self.path / name)

    def save(
        self,
        tensors: Mapping[str, torch.Tensor],
        metadata: Mapping[str, Any],
        *,
        signature: str,
        name: str = "training",
    ) -> None:
        """Write a checkpoint; the one before it stays whole until this one is.

        Args:
            tensors: named tensors of any device.
            metadata: JSON-like values.
            signature: of what the checkpoint was made of (see `make_signature`).
            name: of the file; "training" for a training under way.

        Raises:
            HeadstartError: the disk is full, or the folder cannot be written.
        """
        header = json.dumps({"signature": signature, "metadata": dict(metadata)})
        # Copies, because safetensors refuses tensors that share memory (tied weights).
        copies = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
        file = self._file(name)
        beside = file.with_suffix(".partial")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as handle:
                handle.write(serialize(copies, metadata={"checkpoint": header}))
                handle.flush()
                os.fsync(handle.fileno())
            beside.replace(file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise HeadstartError(
                f"The checkpoint {file} cannot be written ({error.strerror or error}). Make room "
                "on the disk or let the folder be written to, then run again: what is finished "
                "is not done again."
            ) from error

    def load(self, *, signature: str, name: str = "training") -> Checkpoint | None:
        """Read a checkpoint.

        Args:
            signature: what it has to have been made of.
            name: of the file.

        Returns:
            None where there is none, where it was made of something else, or (with a warning)
            where the file is damaged.
        """
        file = self._file(name)
        if not file.exists():
            return None
        try:
            with safe_open(file, framework="pt") as content:
                header = json.loads((content.metadata() or {})["checkpoint"])
                if header["signature"] != signature:
                    return None
                tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
                return Checkpoint(tensors=tensors, metadata=header["metadata"])
        except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
            logger.warning("The checkpoint %s is damaged and is ignored (%s).", file, error)
            return None

    def remove(self, name: str = "training") -> None:
        """Delete one checkpoint file, where it is there.

        Args:
            name: of the file.
        """
        self._file(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the folder and everything in it."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"


def make_signature(*parts: Any) -> str:
    """A fingerprint of what a training is made of: equal exactly when all parts are.

    Args:
        parts: parameters (pydantic models, dataclasses, JSON-like values), numpy arrays, and
            fingerprints of code and data.

    Returns:
        A SHA-256 digest, hexadecimal.
    """
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: Any, part: Any) -> None:
    digest.update(f"<{type(part).__name__}>".encode())
    if isinstance(part, BaseModel):
        _add(digest, part.model_dump(mode="json"))
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        _add(digest, {f.name: getattr(part, f.name) for f in dataclasses.fields(part)})
    elif isinstance(part, np.ndarray) and not part.dtype.hasobject:
        digest.update(f"{part.dtype} {part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, Mapping):
        for key in sorted(part):
            _add(digest, key)
            _add(digest, part[key])
    elif isinstance(part, list | tuple | np.ndarray):
        digest.update(str(len(part)).encode())
        for item in part:
            _add(digest, item)
    elif part is None or isinstance(part, str | int | float | np.generic | Path):
        digest.update(repr(part).encode())
    else:
        raise TypeError(f"make_signature: cannot take a {type(part).__name__}")
    digest.update(b"</>")
