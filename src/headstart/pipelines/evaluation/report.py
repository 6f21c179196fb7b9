"""`report.html`: the answer, then all that it rests on, in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from headstart.learning.leaderboard import (
    ALONE,
    NOT_TRANSFERRED,
    baseline_method,
    deciding_metric,
)
from headstart.pipelines.evaluation import (
    calibration_figure,
    figure_style,
    map_figure,
    score_figures,
    wording,
)
from headstart.pipelines.evaluation.answer import (
    against_baseline,
    compared_with,
    fewer_labels,
    headline,
    verdict,
    where_it_hurt,
)
from headstart.pipelines.evaluation.few_shot_section import TRACK as FEW_SHOT
from headstart.pipelines.evaluation.few_shot_section import few_shot_view
from headstart.pipelines.evaluation.in_context_section import (
    dropped_demonstrations,
    spread_of_demonstrations,
)
from headstart.pipelines.evaluation.lora_section import lora_costs as costs_of_models
from headstart.pipelines.evaluation.lora_section import lora_ranks as ranks_of_targets
from headstart.pipelines.evaluation.mistakes_section import mistakes as worst_of
from headstart.pipelines.evaluation.multi_task_section import multi_task_view
from headstart.pipelines.evaluation.plan_section import plan_rows
from headstart.pipelines.evaluation.pretext_section import pretext_sources
from headstart.pipelines.evaluation.quality_table import quality_table, rank_correlations
from headstart.pipelines.evaluation.same_labels_section import same_labels
from headstart.pipelines.evaluation.table_rows import (
    at_most_shots,
    families,
    of_target,
    records,
)
from headstart.pipelines.evaluation.templates import environment_of_templates
from headstart.pipelines.evaluation.training_figures import FEW_TRAINED
from headstart.pipelines.evaluation.training_section import training

if TYPE_CHECKING:
    from headstart.learning.pretext.task import Example

REPORT = "report.html.jinja"
# Tracks without predictions of single test examples: nothing to say of confidence, maps, mistakes.
WITHOUT_EXAMPLES = ("tables", FEW_SHOT)


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
    lora_costs: pd.DataFrame | None = None,
    lora_ranks: pd.DataFrame | None = None,
    in_context_spread: pd.DataFrame | None = None,
    results: pd.DataFrame | None = None,
    cosines: pd.DataFrame | None = None,
    pair_gains: pd.DataFrame | None = None,
    few_shot_curves: pd.DataFrame | None = None,
    sinusoid_examples: pd.DataFrame | None = None,
    few_shot_trainings: pd.DataFrame | None = None,
    plans: pd.DataFrame | None = None,
    metric: str = "accuracy",
    metric_of: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    mistakes: int = 12,
) -> str:
    """The report as one HTML page.

    Args:
        leaderboard: the leaderboard.
        recommendations: target -> what `headstart.learning.recommendation.recommend` returns.
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
        text_pretraining: what language models learned before they were used on a target
            (`headstart.pipelines.pretraining.text_nodes.TEXT_SCORE_COLUMNS`); may be empty.
        lora_costs: what ways of adapting a model cost
            (`headstart.learning.text.lora_costs.COST_COLUMNS`); may be empty.
        lora_ranks: scores of LoRA with several ranks
            (`headstart.learning.text.lora_ranks.RANK_COLUMNS`); may be empty.
        in_context_spread: accuracy of each draw and order of demonstrations
            (`headstart.learning.text.demonstration_spread.SPREAD_COLUMNS`); may be empty.
        results: the results, for the single tasks of tables.
        cosines: of the tasks' gradients (`headstart.learning.multi_task.conflict`).
        pair_gains: which task helps which (`headstart.learning.multi_task.groupings`).
        few_shot_curves: score of few-shot tasks against adaptation steps; may be empty, as the next
            two (their columns are in `headstart.pipelines.evaluation.few_shot_section`).
        sinusoid_examples: predictions of some sinusoids before and after some steps.
        few_shot_trainings: how the methods of few-shot tasks were meta-trained.
        plans: memory and time of each training, predicted and measured
            (`headstart.pipelines.evaluation.plan_section.COLUMNS`); may be empty.
        metric: the metric that is shown first.
        metric_of: target -> the metric that is shown first there.
        confidence: coverage of the intervals.
        mistakes: how many mistakes are shown for each target.

    Returns:
        The page; everything in it is inline.
    """
    from plotly.offline import get_plotlyjs

    plots: dict[str, Any] = {}
    nothing = pd.DataFrame()
    spread = nothing if in_context_spread is None else in_context_spread
    targets = []
    tracks = dict(zip(leaderboard["target"], leaderboard["track"], strict=True))
    # A task within a target, `weather.JFK`, has no part of its own.
    names = [name for name, track in tracks.items() if "." not in name or track != "tables"]
    # What one came for are one's own data: families of tasks stand behind them.
    for number, target in enumerate(sorted(names, key=lambda name: tracks[name] == FEW_SHOT)):
        board = leaderboard[leaderboard["target"] == target]
        tried = list(dict.fromkeys(board["metric"]))
        shown_first = deciding_metric(target, tried, metric, metric_of)
        answer = dict(recommendations.get(target, {}))
        view = {
            "id": f"target-{number}",
            "name": target,
            "track": tracks[target],
            "of_examples": tracks[target] not in WITHOUT_EXAMPLES,
            "answer": answer,
            "metrics": [shown_first, *(m for m in tried if m != shown_first)],
            "metric": shown_first,
            "timed": target in splits and "time" in splits[target],
        }
        view |= _scores(view, board, plots)
        view |= _calibration(view, board, predictions, plots)
        view |= _maps(view, maps, plots)
        view |= _qualities(view, board, qualities)
        view |= worst_of(view, predictions, splits, images, texts or {}, mistakes)
        view |= training(view, histories, plots)
        view |= same_labels(view, board, plots)
        view |= spread_of_demonstrations(view, spread, plots)
        view |= multi_task_view(
            view,
            nothing if results is None else results,
            nothing if cosines is None else cosines,
            nothing if pair_gains is None else pair_gains,
            plots,
            confidence,
        )
        view |= few_shot_view(
            view,
            board,
            nothing if few_shot_curves is None else few_shot_curves,
            nothing if sinusoid_examples is None else sinusoid_examples,
            nothing if few_shot_trainings is None else few_shot_trainings,
            plots,
        )
        view["dropped"] = dropped_demonstrations(board, splits.get(target))
        view["summary"] = wording.counts(summaries.get(target, {}))
        # A family of tasks, `glyphs` of `glyphs.5_way`, may be a target of images, too.
        of_family = (quarantine["role"] == FEW_SHOT) == (view["track"] == FEW_SHOT)
        aside = quarantine[(quarantine["target"] == target.split(".")[0]) & of_family]
        view["aside"] = aside
        view["reasons"] = aside["reason"].value_counts().to_dict()
        targets.append(view)
    first = {view["name"]: view["metric"] for view in targets}
    return (
        environment_of_templates(autoescape=True)
        .get_template(REPORT)
        .render(
            targets=targets,
            sources=pretext_sources(
                pretext_scores,
                pretext_histories,
                pretext_examples,
                leaderboard,
                first,
                plots,
            ),
            text_pretraining=records(nothing if text_pretraining is None else text_pretraining),
            lora_costs=costs_of_models(nothing if lora_costs is None else lora_costs),
            lora_ranks=ranks_of_targets(
                nothing if lora_ranks is None else _sorted_by_metric(lora_ranks, first),
                leaderboard,
                confidence,
                plots,
            ),
            plans=plan_rows(nothing if plans is None else plans),
            counts=list(dict.fromkeys(name for t in targets for name in t["summary"])),
            confidence=confidence,
            not_transferred=wording.listed(_features_of_nothing(leaderboard)),
            few_trained=FEW_TRAINED,
            environment={k: v for k, v in environment.items() if not isinstance(v, Mapping)},
            details={k: _yaml(v) for k, v in environment.items() if isinstance(v, Mapping)},
            plots=_json(plots),
            plotly=get_plotlyjs(),
        )
    )


def _scores(view: Mapping[str, Any], board: pd.DataFrame, plots: dict[str, Any]) -> dict[str, Any]:
    """What the sections on scores, harm and cost and the leaderboard show of one target."""
    target, answer, metric = view["name"], view["answer"], view["metric"]
    here = board[board["metric"] == metric]
    best_last = at_most_shots(here)
    pair = (answer["representation"], answer["method"]) if answer else None
    plots[f"{view['id']}-labels"] = {
        m: score_figures.label_efficiency(board, target, m, pair) for m in view["metrics"]
    }
    plots[f"{view['id']}-cost"] = {m: score_figures.cost(board, target, m) for m in view["metrics"]}
    by_shots = against_baseline(board, *pair, answer["metric"]) if pair else pd.DataFrame()
    return {
        "headline": headline(answer) if answer else "",
        "verdict": verdict(answer, by_shots) if answer else ("open", ""),
        "by_shots": records(by_shots),
        "fewer_labels": fewer_labels(by_shots, answer["metric"]) if answer else None,
        "families": families(pd.concat([best_last, here])),
        "compared_with": compared_with(board),
        "hurt": {m: where_it_hurt(board, m) for m in view["metrics"]},
        "costs": {m: score_figures.cost_table(board, target, m) for m in view["metrics"]},
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
            for row in records(main[same.loc[main.index]])
        ]
        tables.append({"shots": shots, "rows": rows})
    return tables


def _calibration(
    view: Mapping[str, Any], board: pd.DataFrame, predictions: pd.DataFrame, plots: dict[str, Any]
) -> dict[str, Any]:
    answer = view["answer"]
    rows = at_most_shots(of_target(predictions, view["name"]))
    if answer:
        keys = [(answer["representation"], answer["method"])]
        keys += [(answer["baseline"], baseline_method(view["track"]))] if answer["baseline"] else []
    else:
        scratch = board.loc[board["method"].isin(ALONE), ["representation", "method"]]
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
                    "error": calibration_figure.calibration_error(one),
                    "confidence": float(one["confidence"].mean()),
                    "correct": correct,
                }
            )
    if shown:
        drawn = calibration_figure.calibration(predictions, view["name"], keys)
        plots[f"{view['id']}-calibration"] = {"": drawn}
    return {"calibrated": shown, "calibrated_families": families(pd.DataFrame(shown))}


def _maps(view: Mapping[str, Any], maps: pd.DataFrame, plots: dict[str, Any]) -> dict[str, Any]:
    rows = of_target(maps, view["name"])
    classes = sorted(rows["label"].astype(str).unique())
    names = list(dict.fromkeys(rows["representation"]))
    for number, name in enumerate(names):
        drawn = map_figure.representation_map(maps, view["name"], [name])
        plots[f"{view['id']}-map-{number}"] = {"": drawn}
    return {
        "maps": names,
        "classes": classes,
        "class_styles": [figure_style.class_style(i) for i in range(len(classes))],
        "classes_by_color": len(classes) <= figure_style.COLORED_CLASSES,
    }


def _qualities(
    view: Mapping[str, Any], board: pd.DataFrame, qualities: pd.DataFrame
) -> dict[str, Any]:
    table = quality_table(qualities, board, view["name"], view["metric"])
    return {
        "qualities": records(table),
        "quality_correlations": rank_correlations(table, view["metric"]),
    }


def _sorted_by_metric(rows: pd.DataFrame, first: Mapping[str, str]) -> pd.DataFrame:
    """Rows with those of the metric that is shown first on their target before the others."""
    if rows.empty:
        return rows
    later = rows["metric"] != rows["target"].map(first)
    return pd.concat([rows[~later], rows[later]])


def _features_of_nothing(leaderboard: pd.DataFrame) -> list[str]:
    """The representations, in words, that were used without having learned from other data."""
    used = set(leaderboard.loc[~leaderboard["method"].isin(ALONE), "representation"])
    return [wording.words(name) for name in NOT_TRANSFERRED if name in used]


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
