"""Nodes of the in-context stage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import HeadstartError
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
        HeadstartError: there are no draws of that many labels; or as
            `headstart.learning.text.in_context.fit_in_context`.
    """
    from tqdm import tqdm

    from headstart.learning.encoders import choose_device
    from headstart.learning.fits import tables_of
    from headstart.learning.text.in_context import fit_in_context

    labels, test = classes_and_test(splits, len(texts))
    names = splits.sort_values("class")["label"].drop_duplicates().tolist()
    drawn = [draw for draw in draws_of(draws, parameters.seeds) if draw.shots is not None]
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
    few = [shots for shots in parameters.shots if shots > 0]
    wanted = [draw for draw in drawn if draw.shots in few]
    if missing := sorted(set(few) - {draw.shots for draw in drawn}):
        there = ", ".join(str(n) for n in sorted({draw.shots for draw in drawn if draw.shots}))
        raise HeadstartError(
            f"in_context.shots: {target} has no draws of {missing[0]} labels per class; it has "
            f"{there}. Take one of these, or add it to draws.shots_of.{target}."
        )
    bar = tqdm(
        total=len(wanted) + (0 in parameters.shots),
        desc=f"{target}: in_context on {representation}",
        unit="fit",
        disable=not compute.progress,
    )
    if 0 in parameters.shots:
        # Without demonstrations nothing depends on the draw: asked once, noted for each seed.
        first = [next(d for d in drawn if d.seed == seed) for seed in range(parameters.seeds)]
        everyone = np.unique(np.concatenate([draw.validation for draw in first]))
        asked = fit(first[0], 0, everyone)
        for draw in first:
            own = np.searchsorted(everyone, draw.validation)
            identity = {**asked.identity, "seed": draw.seed}
            one = replace(asked, identity=identity, validation=asked.validation[own])
            fits.append((one, draw.validation))
        bar.update()
    for draw in wanted:
        assert draw.shots is not None
        fits.append((fit(draw, draw.shots, draw.validation), draw.validation))
        bar.update()
    bar.close()
    scores, predictions, _ = tables_of(((one, rows, test) for one, rows in fits), labels)
    return scores, predictions
