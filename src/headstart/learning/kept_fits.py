"""Finished fits of an interrupted run, kept beside its checkpoints: none is fitted twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.fits import Fit
from headstart.learning.processes import from_first, is_first

_KEPT = "result"  # the checkpoint that a finished fit leaves


def fit_once(
    checkpoints: CheckpointFolder | None,
    identity: Mapping[str, Any],
    signature: str,
    fit: Callable[[CheckpointFolder | None], Fit],
) -> Fit:
    """A fit, unless an interrupted run has finished it already.

    Args:
        checkpoints: where fits under way and finished are kept; None: nowhere.
        identity: of the fit; its shots and seed name its own folder.
        signature: of everything that it is made of.
        fit: fits, and saves checkpoints in the folder that it is given.
    """
    shots = "all" if identity["shots"] is None else identity["shots"]
    folder = checkpoints and checkpoints.at(f"shots_{shots}_seed_{identity['seed']}")
    finished = from_first(lambda: kept(folder, signature)) if folder else None
    if finished is not None:
        return finished
    made = fit(folder)
    if folder and is_first():
        keep(made, folder, signature)
    return made


def keep(fit: Fit, folder: CheckpointFolder, signature: str) -> None:
    """Keep a finished fit, and drop the checkpoint of its training.

    Args:
        fit: with a history.
        folder: of this fit alone.
        signature: of everything that it is made of.
    """
    assert fit.history is not None
    metadata = {
        **{"identity": fit.identity, "n_train": fit.n_train, "chosen": fit.chosen},
        **{"trainable_parameters": fit.trainable_parameters},
        **{"total_parameters": fit.total_parameters, "train_seconds": fit.train_seconds},
        **{"peak_memory_bytes": fit.peak_memory_bytes, "history": fit.history.to_dict("list")},
    }
    probabilities = {
        "validation": torch.from_numpy(fit.validation),
        "test": torch.from_numpy(fit.test),
    }
    folder.save(probabilities, metadata, signature=signature, name=_KEPT)
    folder.remove()


def kept(folder: CheckpointFolder, signature: str) -> Fit | None:
    """The fit that was kept with this signature, if there is one.

    Args:
        folder: of this fit alone.
        signature: of everything that it is made of.
    """
    found = folder.load(signature=signature, name=_KEPT)
    if found is None:
        return None
    history = pd.DataFrame(found.metadata.pop("history"))
    return Fit(
        validation=found.tensors["validation"].numpy(),
        test=found.tensors["test"].numpy(),
        history=history,
        **found.metadata,
    )
