"""Nodes of the in-context stage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.splits import Draw, classes_and_test, draws_of
from headstart.pipelines.in_context.parameters import InContextStageParameters


def learn_in_context(
    representation: str,
    target: str,
    texts: pd.DataFrame,
    splits: pd.DataFrame,
    draws: pd.DataFrame,
    model: Any,
    parameters: InContextStageParameters,
    compute: ComputeParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Classify a target's texts by a prompt; no weight changes.

    Args:
        representation: name of the model.
        target: name of the target.
        texts: of the target.
        splits: which rows are test rows, and the class of each row.
        draws: rows to show and to choose on, for each number of shots and seed.
        model: `headstart.learning.text.language_model.LanguageModel`, a causal one.
        parameters: of the stage.
        compute: device and progress bar.

    Returns:
        Scores and predictions (`headstart.learning.fits`).

    Raises:
        HeadstartError: as `headstart.learning.text.in_context.fit_in_context`.
    """
    from tqdm import tqdm

    from headstart.learning.encoders import choose_device
    from headstart.learning.fits import tables_of
    from headstart.learning.text.in_context import fit_in_context

    labels, test = classes_and_test(splits, len(texts))
    names = splits.sort_values("class")["label"].drop_duplicates().tolist()
    drawn = list(draws_of(draws, parameters.seeds))
    network = model.network.to(choose_device(compute))

    def fit(draw: Draw, shots: int, validation: np.ndarray) -> Any:
        return fit_in_context(
            network,
            model.tokenizer,
            list(texts["text"]),
            labels,
            demonstrations=draw.train if shots else draw.train[:0],
            validation=validation,
            test=test,
            class_names=names,
            parameters=parameters.prompt,
            batch_tokens=parameters.batch_tokens,
            identity={
                **{"track": "text", "target": target, "representation": representation},
                **{"method": "in_context", "shots": shots, "seed": draw.seed, "episode": None},
            },
        )

    fits = []
    counted = ((draw, draw.shots) for draw in drawn if draw.shots is not None)
    wanted = [(draw, shots) for draw, shots in counted if shots <= parameters.most_shots]
    bar = tqdm(
        total=1 + len(wanted),
        desc=f"{target}: in_context on {representation}",
        unit="fit",
        disable=not compute.progress,
    )
    # Without demonstrations nothing depends on the draw: asked once, noted for each seed.
    first = [draw for draw in drawn if draw.shots == drawn[0].shots]
    everyone = np.unique(np.concatenate([draw.validation for draw in first]))
    asked = fit(first[0], 0, everyone)
    for draw in first:
        own = np.searchsorted(everyone, draw.validation)
        identity = {**asked.identity, "seed": draw.seed}
        one = replace(asked, identity=identity, validation=asked.validation[own])
        fits.append((one, draw.validation))
    bar.update()
    for draw, shots in wanted:
        fits.append((fit(draw, shots, draw.validation), draw.validation))
        bar.update()
    bar.close()
    scores, predictions, _ = tables_of(((one, rows, test) for one, rows in fits), labels)
    return scores, predictions
