"""Nodes of the evaluation stage: tables in, the answer out."""

import logging
from typing import Any

import pandas as pd

from headstart.learning.fits import IDENTITY, RESULT_COLUMNS
from headstart.learning.images import ImageStore
from headstart.learning.leaderboard import deciding_metric, leaderboard
from headstart.learning.planning.parameters import GpuParameters
from headstart.learning.recommendation import recommend
from headstart.pipelines.collecting import collect
from headstart.pipelines.evaluation.parameters import EvaluationParameters

logger = logging.getLogger(__name__)


def collect_scores(*tables: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All scores of all methods in one table, test scores and validation scores apart.

    Args:
        tables: score tables (`headstart.learning.fits.score_table`).

    Returns:
        The results (test scores, columns `RESULT_COLUMNS`), and the validation scores with the
        hyper-parameters that were chosen on them.
    """
    scores = _in_order(pd.concat(tables, ignore_index=True))
    results = scores.loc[scores["split"] == "test", RESULT_COLUMNS]
    validation = scores.loc[scores["split"] == "validation", [*RESULT_COLUMNS, "chosen"]]
    return results.reset_index(drop=True), validation.reset_index(drop=True)


def collect_tables(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables with the same columns as one; without any, an empty one."""
    if not tables:  # no method was asked for that would write one
        return pd.DataFrame(columns=[*IDENTITY, "step", "epoch", "name", "value"], dtype="str")
    return collect(*tables)


def collect_examples(examples: list[Any] | None = None) -> list[Any]:
    """What the pretext tasks saw (`headstart.learning.pretext.task.Examples`), if there is any."""
    return examples or []


def build_leaderboard(results: pd.DataFrame, parameters: EvaluationParameters) -> pd.DataFrame:
    """Mean, interval, transfer gain and cost of every method."""
    return leaderboard(results, parameters.confidence)


def recommend_methods(
    validation: pd.DataFrame, board: pd.DataFrame, parameters: EvaluationParameters
) -> dict[str, Any]:
    """The method to use on each target, with the reason in words."""
    recommendations = recommend(validation, board, parameters.metric, parameters.metric_of)
    for target, answer in recommendations.items():
        logger.info("%s: %s", target, answer["reason"])
    return recommendations


def spread_demonstrations(results: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in context of every draw and every order of demonstrations."""
    from headstart.learning.text.demonstration_spread import demonstration_spread

    return demonstration_spread(results, validation)


def compare_plans(
    plans: pd.DataFrame,
    results: pd.DataFrame,
    pretext_scores: pd.DataFrame,
    gpus: pd.DataFrame,
    parameters: GpuParameters,
) -> pd.DataFrame:
    """What each training was predicted to take, beside what was measured, and where it fits."""
    from headstart.pipelines.evaluation.plan_section import predicted_and_measured

    return predicted_and_measured(plans, results, pretext_scores, gpus, parameters)


def draw_figures(
    target: str,
    board: pd.DataFrame,
    predictions: pd.DataFrame,
    histories: pd.DataFrame,
    maps: pd.DataFrame,
    parameters: EvaluationParameters,
) -> tuple[Any, ...]:
    """The figures of one target, as plotly figures (they are previews in Kedro-Viz, too)."""
    from headstart.pipelines.evaluation import (
        calibration_figure,
        map_figure,
        score_figures,
        training_figures,
    )

    tried = set(board.loc[board["target"] == target, "metric"])
    metric = deciding_metric(target, tried, parameters.metric, parameters.metric_of)
    return (
        score_figures.label_efficiency(board, target, metric),
        score_figures.cost(board, target, metric),
        calibration_figure.calibration(predictions, target),
        map_figure.representation_map(maps, target),
        training_figures.training_curves(histories, target),
    )


def draw_pretext_curves(source: str, histories: pd.DataFrame) -> Any:
    """How the pretext tasks were learned on one source, as a plotly figure."""
    from headstart.pipelines.evaluation import training_figures

    return training_figures.pretext_curves(histories, source)


def write_report(
    board: pd.DataFrame,
    predictions: pd.DataFrame,
    histories: pd.DataFrame,
    maps: pd.DataFrame,
    quarantine: pd.DataFrame,
    recommendations: dict[str, Any],
    qualities: pd.DataFrame,
    pretext_scores: pd.DataFrame,
    pretext_histories: pd.DataFrame,
    pretext_examples: list[Any],
    text_pretraining: pd.DataFrame,
    lora_costs: pd.DataFrame,
    lora_ranks: pd.DataFrame,
    in_context_spread: pd.DataFrame,
    results: pd.DataFrame,
    gradient_cosines: pd.DataFrame,
    pair_gains: pd.DataFrame,
    few_shot_curves: pd.DataFrame,
    sinusoid_examples: pd.DataFrame,
    few_shot_trainings: pd.DataFrame,
    predicted_and_measured: pd.DataFrame,
    parameters: EvaluationParameters,
    configuration: dict[str, Any],
    *of_targets: Any,
) -> str:
    """The report, one HTML page that opens without a network.

    Args:
        board: the leaderboard.
        predictions: test predictions of all methods.
        histories: training histories.
        maps: 2-D maps of the representations.
        quarantine: what was set aside.
        recommendations: target -> the recommended method.
        qualities: effective rank, alignment and uniformity of the representations.
        pretext_scores: how well each pretext task was learned, and what it cost.
        pretext_histories: their training histories.
        pretext_examples: what they saw (`headstart.learning.pretext.task.Examples`).
        text_pretraining: what language models learned before they were used on a target.
        lora_costs: what ways of adapting a language model cost.
        lora_ranks: scores of LoRA with several ranks.
        in_context_spread: accuracy of each draw and order of demonstrations.
        results: test scores, for the single tasks of tables.
        gradient_cosines: of the tasks of tables, over training.
        pair_gains: which task of a table helps which.
        few_shot_curves: score of few-shot tasks against adaptation steps.
        sinusoid_examples: predictions of some sinusoids before and after some steps.
        few_shot_trainings: how the methods of few-shot tasks were meta-trained.
        predicted_and_measured: memory and time of each training.
        parameters: which metric is shown first, coverage of the intervals.
        configuration: all parameters of the run.
        of_targets: for each target its splits, its images, texts or table, and its counts.
    """
    from headstart.pipelines.evaluation.environment import describe_environment
    from headstart.pipelines.evaluation.report import render_report

    splits: dict[str, pd.DataFrame] = {}
    images, texts, summaries = {}, {}, {}
    for table, examples, summary in zip(*(iter(of_targets),) * 3, strict=True):
        splits[summary["target"]] = table
        if isinstance(examples, ImageStore):
            images[summary["target"]] = examples.images
        elif "text" in examples:
            texts[summary["target"]] = list(examples["text"])
        summaries[summary["target"]] = summary
    return render_report(
        leaderboard=board,
        recommendations=recommendations,
        predictions=predictions,
        histories=histories,
        maps=maps,
        splits=splits,
        images=images,
        texts=texts,
        quarantine=quarantine,
        summaries=summaries,
        qualities=qualities,
        pretext_scores=pretext_scores,
        pretext_histories=pretext_histories,
        text_pretraining=text_pretraining,
        lora_costs=lora_costs,
        lora_ranks=lora_ranks,
        in_context_spread=in_context_spread,
        results=results,
        cosines=gradient_cosines,
        pair_gains=pair_gains,
        few_shot_curves=few_shot_curves,
        sinusoid_examples=sinusoid_examples,
        few_shot_trainings=few_shot_trainings,
        plans=predicted_and_measured,
        pretext_examples={(e.source, e.task): e.examples for e in pretext_examples},
        environment=describe_environment(configuration),
        metric=parameters.metric,
        metric_of=parameters.metric_of,
        confidence=parameters.confidence,
    )


def _in_order(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by what they are, so that equal results make equal files."""
    return scores.sort_values([*IDENTITY, "split", "metric"], kind="stable", ignore_index=True)
