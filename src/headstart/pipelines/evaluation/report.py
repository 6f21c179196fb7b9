"""`report.html`: the answer, then all that it rests on, in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from headstart.learning.leaderboard import BASELINE, NOT_TRANSFERRED
from headstart.learning.metrics import HIGHER_IS_BETTER
from headstart.pipelines.evaluation import figures, wording
from headstart.pipelines.evaluation.pictures import picture
from headstart.pipelines.evaluation.pretext_section import pretext_sources
from headstart.pipelines.evaluation.quality_table import quality_table, rank_correlations

if TYPE_CHECKING:
    from headstart.learning.pretext.task import Example

REPORT = "report.html.jinja"


def render_report(
    *,
    leaderboard: pd.DataFrame,
    recommendations: Mapping[str, Mapping[str, Any]],
    predictions: pd.DataFrame,
    histories: pd.DataFrame,
    maps: pd.DataFrame,
    splits: Mapping[str, pd.DataFrame],
    images: Mapping[str, np.ndarray],
    quarantine: pd.DataFrame,
    summaries: Mapping[str, Mapping[str, Any]],
    environment: Mapping[str, Any],
    pretext_scores: pd.DataFrame,
    pretext_histories: pd.DataFrame,
    pretext_examples: Mapping[tuple[str, str], Sequence[Example]],
    qualities: pd.DataFrame,
    texts: Mapping[str, Sequence[str]] | None = None,
    text_pretraining: pd.DataFrame | None = None,
    metric: str = "accuracy",
    confidence: float = 0.95,
    mistakes: int = 12,
) -> str:
    """The report as one HTML page.

    Args:
        leaderboard: the leaderboard.
        recommendations: target -> what `headstart.learning.leaderboard.recommend` returns.
        predictions: test predictions of all fits.
        histories: training histories of all fits; may be empty.
        maps: 2-D maps of the representations; may be empty.
        splits: target -> its splits, for the names of the classes.
        images: target -> pictures, uint8, shape (N, H, W, C); only those that are shown are read.
            A target that has none shows its mistakes without pictures.
        quarantine: what was set aside, columns target, role, path, reason.
        summaries: target -> counts of the ingestion, possibly nested.
        environment: versions, machine and configuration, for the last section.
        pretext_scores: held-out score and cost of each pretext task on each source
            (`headstart.learning.pretext.pretrain.SCORE_COLUMNS`); may be empty, and then the
            section on pretext tasks is left out.
        pretext_histories: training histories of pretext tasks; may be empty.
        pretext_examples: (source, task) -> what the task saw and said; may be empty.
        qualities: effective rank, alignment and uniformity of the representations
            (`headstart.learning.representation_quality.COLUMNS`); may be empty.
        texts: target -> its N texts; their beginnings are shown with mistakes.
        text_pretraining: perplexity before and after language models read on in a target's texts
            (`headstart.pipelines.pretraining.text_nodes.TEXT_SCORE_COLUMNS`); may be empty.
        metric: the metric that is shown first.
        confidence: coverage of the intervals.
        mistakes: how many mistakes are shown for each target.

    Returns:
        The page; everything in it is inline.
    """
    from plotly.offline import get_plotlyjs

    plots: dict[str, Any] = {}
    targets = []
    for number, target in enumerate(dict.fromkeys(leaderboard["target"])):
        board = leaderboard[leaderboard["target"] == target]
        tried = list(dict.fromkeys(board["metric"]))
        answer = dict(recommendations.get(target, {}))
        view = {
            "id": f"target-{number}",
            "name": target,
            "track": board["track"].iloc[0],
            "answer": answer,
            "metrics": tried,
            "metric": metric if metric in tried else tried[0],
        }
        view |= _scores(view, board, plots)
        view |= _calibration(view, board, predictions, plots)
        view |= _maps(view, maps, plots)
        view |= _qualities(view, board, qualities)
        view |= _mistakes(view, predictions, splits, images, texts or {}, mistakes)
        view |= _training(view, histories, plots)
        view["dropped"] = dropped_demonstrations(board, splits.get(target))
        view["summary"] = wording.counts(summaries.get(target, {}))
        aside = quarantine[quarantine["target"] == target]
        view["aside"] = aside
        view["reasons"] = aside["reason"].value_counts().to_dict()
        targets.append(view)
    return (
        environment_of_templates(autoescape=True)
        .get_template(REPORT)
        .render(
            targets=targets,
            sources=pretext_sources(
                pretext_scores, pretext_histories, pretext_examples, leaderboard, metric, plots
            ),
            text_pretraining=_records(
                pd.DataFrame() if text_pretraining is None else text_pretraining
            ),
            metrics=list(dict.fromkeys(leaderboard["metric"])),
            metric=metric,
            counts=list(dict.fromkeys(name for t in targets for name in t["summary"])),
            confidence=confidence,
            not_transferred=wording.listed(_features_of_nothing(leaderboard)),
            few_trained=figures.FEW_TRAINED,
            environment={k: v for k, v in environment.items() if not isinstance(v, Mapping)},
            details={k: _yaml(v) for k, v in environment.items() if isinstance(v, Mapping)},
            plots=_json(plots),
            plotly=get_plotlyjs(),
        )
    )


def environment_of_templates(autoescape: bool) -> Any:
    """Jinja2 environment of the templates in this folder, with the wording as filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(wording, name)
        for name in ("words", "sentence", "labels", "score", "decimals", "seconds", "count", "size")
    }
    environment.globals |= {
        "bounds": wording.bounds,
        "plus_minus": wording.plus_minus,
        "method_name": wording.method_name,
        "network_name": wording.network_name,
        "bare_method_name": wording.bare_method_name,
        "metric_name": wording.metric_name,
        "short_metric_name": wording.short_metric_name,
        "higher_is_better": HIGHER_IS_BETTER,
        "style": lambda representation, method: {
            "color": figures.color(representation),
            "dash": figures.dash(method),
            "marker": figures.marker(method),
        },
    }
    return environment


def headline(answer: Mapping[str, Any]) -> str:
    """The recommendation in a few words."""
    if answer["method"] == BASELINE:
        return f"Train the {wording.network_name(answer['representation'])} from scratch"
    method = wording.sentence(wording.bare_method_name(answer["method"]))
    return f"{method} on {wording.words(answer['representation'])}"


def verdict(answer: Mapping[str, Any], by_shots: pd.DataFrame) -> tuple[str, str]:
    """Whether transfer pays.

    Args:
        answer: the recommendation of one target.
        by_shots: of `against_baseline`, the recommended method at each number of labels.

    Returns:
        A word for the style ("yes", "no" or "open") and a short sentence.
    """
    if answer["method"] == BASELINE:
        return "no", "Transfer does not pay here"
    if answer["gain"] is None:
        return "open", "Not compared with training from scratch"
    if answer["representation"] in NOT_TRANSFERRED:
        return "no", "Nothing learned from other data is needed"
    sign = 1.0 if HIGHER_IS_BETTER[answer["metric"]] else -1.0
    gains = sign * by_shots[["gain_low", "gain_high"]].astype(float)
    if (gains.iloc[-1] < 0).all():
        return "no", f"Transfer hurts with {wording.labels(answer['shots'])}"
    pays = (gains > 0).all(axis=1)
    if pays.all():
        return "yes", "Transfer pays"
    if not pays.any():
        few = "One seed: the gain has no interval"
        return "open", few if gains.isna().all(axis=None) else "The gain may be chance"
    shots = by_shots.loc[pays, "shots"]
    numbers = [str(s) for s in shots.dropna()]
    parts = [f"{wording.listed(numbers)} label{'s' * (numbers != ['1'])} per class"] * bool(numbers)
    parts += ["all labels"] * bool(shots.isna().any())
    return "yes", f"Transfer pays with {wording.listed(parts)}; elsewhere the gain may be chance"


def against_baseline(
    board: pd.DataFrame, representation: str, method: str, metric: str
) -> pd.DataFrame:
    """A method beside what it is compared with, at each number of labels.

    Returns:
        Rows of the leaderboard (shots, mean, low, high, gain, gain_low, gain_high, …) of the
        method, fewest labels first; `scratch` is the score from scratch of the network in
        `baseline`, NaN where there is none.
    """
    rows = board[board["metric"] == metric]
    own = rows[(rows["representation"] == representation) & (rows["method"] == method)]
    scratch = rows[rows["method"] == BASELINE]
    at = {
        (name, _key(shots)): mean
        for name, shots, mean in scratch[["representation", "shots", "mean"]].itertuples(
            index=False
        )
    }
    keys = zip(own["baseline"], own["shots"], strict=True)
    own = own.assign(scratch=[at.get((name, _key(shots)), np.nan) for name, shots in keys])
    return own.sort_values("shots", na_position="last", ignore_index=True)


def compared_with(board: pd.DataFrame) -> str:
    """Which network's training from scratch the gains are measured against, as a sentence.

    Args:
        board: the leaderboard of one target.

    Returns:
        Empty where it is the same network for all.
    """
    against: dict[str, list[str]] = {}
    for name, rows in board.dropna(subset=["baseline"]).groupby("baseline"):
        against[str(name)] = list(dict.fromkeys(rows["representation"]))
    if len(against) < 2:
        return ""
    *few, most = sorted(against, key=lambda name: len(against[name]))
    parts = [
        f"the {wording.network_name(name)} for "
        f"{wording.listed([wording.words(own) for own in against[name]])}"
        for name in few
    ]
    parts.append(f"the {wording.network_name(most)} for all others")
    return f"Trained from scratch for the gain: {wording.listed(parts)}."


def fewer_labels(table: pd.DataFrame, metric: str) -> Any:
    """The fewest labels with which a method reaches what its baseline reaches with the most.

    Args:
        table: of `against_baseline`.
        metric: which metric it holds.

    Returns:
        That row of the table, or None where only the largest number of labels does it, or none.
    """
    if table.empty or pd.isna(table["scratch"].iloc[-1]):
        return None
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    enough = table[sign * table["mean"] >= sign * table["scratch"].iloc[-1]].index
    return table.loc[enough[0]] if len(enough) and enough[0] < len(table) - 1 else None


def where_it_hurt(board: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Comparisons with the baseline that transfer lost for sure.

    Counted are the methods that start from something learned on other data.

    Returns:
        `rows`: of the leaderboard, those whose interval of the gain lies wholly on the bad side,
        the worst first; `compared`: how many comparisons have an interval; `bare`: how many have
        none, because one seed is shared.
    """
    rows = board[
        (board["metric"] == metric)
        & (board["pairs"] > 0)
        & ~board["representation"].isin(NOT_TRANSFERRED)
    ]
    with_interval = rows.dropna(subset=["gain_low", "gain_high"])
    higher = HIGHER_IS_BETTER[metric]
    bad = with_interval["gain_high"] < 0 if higher else with_interval["gain_low"] > 0
    return {
        "rows": with_interval[bad].sort_values("gain", ascending=higher),
        "compared": len(with_interval),
        "bare": len(rows) - len(with_interval),
    }


def dropped_demonstrations(
    board: pd.DataFrame, splits: pd.DataFrame | None
) -> list[tuple[int, float, int]]:
    """Where a prompt held fewer labeled examples than there were.

    Args:
        board: the leaderboard of one target.
        splits: its splits, for the number of classes.

    Returns:
        Labels per class, examples shown (a mean over seeds), examples there were.
    """
    if splits is None:
        return []
    asked = board[(board["method"] == "in_context") & board["shots"].notna()]
    asked = asked.drop_duplicates(["representation", "shots"])
    there = (asked["shots"] * splits["class"].nunique()).astype(int)
    short = asked["n_train"] < there
    return list(zip(asked["shots"][short], asked["n_train"][short], there[short], strict=True))


def worst_mistakes(
    predictions: pd.DataFrame, representation: str, method: str, number: int
) -> pd.DataFrame:
    """The test examples that a method got wrong with the most confidence.

    Args:
        predictions: of one target, at one number of shots.
        representation: what the method starts from.
        method: the method.
        number: how many at most.

    Returns:
        One row an example: row, label, predicted (the wrong class that most seeds said),
        confidence (mean of those seeds), wrong (seeds that were wrong), seeds. Sorted by the
        confidence in wrong classes, the mean over all seeds.
    """
    own = (predictions["representation"] == representation) & (predictions["method"] == method)
    seeds = predictions.loc[own, "seed"].nunique()
    wrong = predictions[own & (predictions["label"] != predictions["predicted"])]
    said = (
        wrong.groupby(["row", "label", "predicted"], as_index=False)
        .agg(confidence=("confidence", "mean"), said=("confidence", "size"))
        .sort_values(["said", "confidence"], ascending=False, kind="stable")
        .drop_duplicates("row")
    )
    whole = wrong.groupby("row")["confidence"]
    said = said.assign(
        wrong=said["row"].map(whole.size()),
        seeds=seeds,
        weight=said["row"].map(whole.sum()) / max(seeds, 1),
    )
    worst = said.sort_values(["weight", "row"], ascending=[False, True], kind="stable")
    return worst.drop(columns=["said", "weight"]).head(number).reset_index(drop=True)


def still_improving(histories: pd.DataFrame) -> pd.DataFrame:
    """Which trainings had their best validation point at their very end.

    They might have gone on to improve with more steps. A training is judged by the first of its
    quantities whose name begins with "validation_".

    Args:
        histories: training histories of one target.

    Returns:
        One row a representation, method and shots: `trainings`, `improving` (how many of them).
    """
    columns = ["representation", "method", "shots", "trainings", "improving"]
    checks = histories[histories["name"].astype(str).str.startswith("validation_")]
    if checks.empty:
        return pd.DataFrame(columns=columns)
    judge = str(checks["name"].iloc[0])
    sign = 1.0 if HIGHER_IS_BETTER.get(judge.removeprefix("validation_"), False) else -1.0
    rows = []
    judged = checks[checks["name"] == judge]
    for key, group in judged.groupby(["representation", "method", "shots"], dropna=False):
        trainings = [one.sort_values("step")["value"] for _, one in group.groupby("seed")]
        # The first best point counts: a plateau is not an improvement.
        improving = [
            len(v) > 1 and int(np.argmax(sign * v.to_numpy())) == len(v) - 1 for v in trainings
        ]
        rows.append([*key, len(trainings), sum(improving)])
    return pd.DataFrame(rows, columns=columns)


def _scores(view: Mapping[str, Any], board: pd.DataFrame, plots: dict[str, Any]) -> dict[str, Any]:
    """What the sections on scores, harm and cost and the leaderboard show of one target."""
    target, answer, metric = view["name"], view["answer"], view["metric"]
    here = board[board["metric"] == metric]
    best_last = figures.at_most_shots(here)
    pair = (answer["representation"], answer["method"]) if answer else None
    plots[f"{view['id']}-labels"] = {
        m: figures.label_efficiency(board, target, m, pair) for m in view["metrics"]
    }
    plots[f"{view['id']}-cost"] = {m: figures.cost(board, target, m) for m in view["metrics"]}
    by_shots = against_baseline(board, *pair, answer["metric"]) if pair else pd.DataFrame()
    return {
        "headline": headline(answer) if answer else "",
        "verdict": verdict(answer, by_shots) if answer else ("open", ""),
        "by_shots": _records(by_shots),
        "fewer_labels": fewer_labels(by_shots, answer["metric"]) if answer else None,
        "families": _families(pd.concat([best_last, here])),
        "compared_with": compared_with(board),
        "hurt": {m: where_it_hurt(board, m) for m in view["metrics"]},
        "costs": {m: figures.cost_table(board, target, m) for m in view["metrics"]},
        "tables": _tables(board, view["metrics"], metric),
    }


def _tables(board: pd.DataFrame, metrics: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """The leaderboard of one target: a table for each number of shots, most labels first."""
    tables = []
    main = board[board["metric"] == metric]
    for shots in main["shots"].drop_duplicates().sort_values(ascending=False, na_position="first"):
        same = board["shots"].isna() if pd.isna(shots) else board["shots"].eq(shots).fillna(False)
        means = {
            (row.representation, row.method, row.metric): row.mean
            for row in board[same][["representation", "method", "metric", "mean"]].itertuples()
        }
        rows = [
            row
            | {
                "others": [
                    means.get((row["representation"], row["method"], m))
                    for m in metrics
                    if m != metric
                ]
            }
            for row in _records(main[same.loc[main.index]])
        ]
        tables.append({"shots": shots, "rows": rows})
    return tables


def _calibration(
    view: Mapping[str, Any], board: pd.DataFrame, predictions: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    answer = view["answer"]
    rows = figures.at_most_shots(figures.of_target(predictions, view["name"]))
    if answer:
        keys = [(answer["representation"], answer["method"])]
        keys += [(answer["baseline"], BASELINE)] if answer["baseline"] else []
    else:
        scratch = board.loc[board["method"] == BASELINE, ["representation", "method"]]
        keys = list(scratch.itertuples(index=False, name=None))
    shown = []
    for key in dict.fromkeys(keys):
        one = rows[(rows["representation"] == key[0]) & (rows["method"] == key[1])]
        if len(one):
            item = {"representation": key[0], "method": key[1]}
            correct = float((one["label"] == one["predicted"]).mean())
            shown.append(
                item
                | {
                    "error": figures.calibration_error(one),
                    "confidence": float(one["confidence"].mean()),
                    "correct": correct,
                }
            )
    if shown:
        drawn = figures.calibration(predictions, view["name"], keys)
        plots[f"{view['id']}-calibration"] = {"": drawn}
    return {"calibrated": shown, "calibrated_families": _families(pd.DataFrame(shown))}


def _maps(view: Mapping[str, Any], maps: pd.DataFrame, plots: dict[str, Any]) -> dict[str, Any]:
    rows = figures.of_target(maps, view["name"])
    classes = sorted(rows["label"].astype(str).unique())
    names = list(dict.fromkeys(rows["representation"]))
    for number, name in enumerate(names):
        drawn = figures.representation_map(maps, view["name"], [name])
        plots[f"{view['id']}-map-{number}"] = {"": drawn}
    return {
        "maps": names,
        "classes": classes,
        "class_styles": [figures.class_style(i) for i in range(len(classes))],
        "classes_by_color": len(classes) <= figures.COLORED_CLASSES,
    }


def _qualities(
    view: Mapping[str, Any], board: pd.DataFrame, qualities: pd.DataFrame
) -> dict[str, Any]:
    table = quality_table(qualities, board, view["name"], view["metric"])
    return {
        "qualities": _records(table),
        "quality_correlations": rank_correlations(table, view["metric"]),
    }


def _mistakes(
    view: Mapping[str, Any],
    predictions: pd.DataFrame,
    splits: Mapping[str, pd.DataFrame],
    images: Mapping[str, np.ndarray],
    texts: Mapping[str, Sequence[str]],
    number: int,
) -> dict[str, Any]:
    target, answer = view["name"], view["answer"]
    rows = figures.of_target(predictions, target)
    if not answer or rows.empty:
        return {"mistakes": None}
    rows = figures.at_most_shots(rows)
    worst = worst_mistakes(rows, answer["representation"], answer["method"], number)
    split = splits.get(target)
    names = {} if split is None else dict(zip(split["class"], split["label"], strict=True))
    paths = {} if split is None else dict(zip(split["row"], split["path"], strict=True))
    shown = [
        mistake
        | {
            "label": str(names.get(mistake["label"], mistake["label"])),
            "predicted": str(names.get(mistake["predicted"], mistake["predicted"])),
            "path": str(paths.get(mistake["row"], mistake["row"])),
            "picture": picture(np.asarray(images[target][mistake["row"]]))
            if target in images
            else None,
            "text": shorten(texts[target][mistake["row"]], 240, placeholder=" …")
            if target in texts
            else None,
        }
        for mistake in _records(worst)
    ]
    return {"mistakes": shown}


def _training(
    view: Mapping[str, Any], histories: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    curves = figures.curves_of(histories, view["name"])
    shots = list(curves["shots"].drop_duplicates().sort_values(na_position="last"))
    if shots:
        plots[f"{view['id']}-training"] = {
            str(len(shots) - 1 - i): figures.training_curves(
                curves, view["name"], None if pd.isna(s) else int(s)
            )
            for i, s in reversed(list(enumerate(shots)))
        }
    table = still_improving(curves)
    improving = _records(table[table["improving"] > 0])
    answer = view["answer"]
    # What the gain is measured against; nothing to say where that is no other method.
    unfinished = [
        row
        for row in improving
        if row["method"] == BASELINE
        and row["representation"] == answer.get("baseline")
        and _key(row["shots"]) == answer.get("shots")
    ]
    return {
        "trained_shots": list(reversed(shots)),
        "trained": _families(curves),
        "trainings": int(table["trainings"].sum()),
        "improving": improving,
        "baseline_unfinished": unfinished[0] if unfinished else None,
    }


def _features_of_nothing(leaderboard: pd.DataFrame) -> list[str]:
    """The representations, in words, that were used without having learned from other data."""
    used = set(leaderboard.loc[leaderboard["method"] != BASELINE, "representation"])
    return [wording.words(name) for name in NOT_TRANSFERRED if name in used]


def _families(table: pd.DataFrame) -> dict[str, list[str]]:
    """Representation -> its methods, both in the order of the table."""
    if table.empty:
        return {}
    return {
        str(name): list(dict.fromkeys(rows["method"]))
        for name, rows in table.groupby("representation", sort=False)
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _key(shots: Any) -> int | None:
    return None if pd.isna(shots) else int(shots)


def _yaml(value: Any) -> str:
    """As a user would write it in the configuration."""
    plain = json.loads(json.dumps(value, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _json(plots: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures as JSON that can stand inside a script element."""
    parts = (
        f"{json.dumps(name)}:{{"
        + ",".join(f"{json.dumps(key)}:{figure.to_json()}" for key, figure in variants.items())
        + "}"
        for name, variants in plots.items()
    )
    return ("{" + ",".join(parts) + "}").replace("<", "\\u003c")
