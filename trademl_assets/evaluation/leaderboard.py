"""The models of an experiment, ranked by what they gain over knowing the volatility alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from trademl_assets.evaluation.boosted_reference import BOOSTING
from trademl_assets.evaluation.comparison import Comparison
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.search_honesty import SearchHonesty
from trademl_assets.tuning.verdict import pareto_front

SCHEMA = {
    "rank": pl.Int64,
    "model": pl.String,
    "verdict": pl.String,
    "fit_to_serve": pl.Boolean,
    "in_confidence_set": pl.Boolean,
    "set_p_value": pl.Float64,
    "superior_p_value": pl.Float64,
    "on_front": pl.Boolean,
    "skill": pl.Float64,
    "skill_low": pl.Float64,
    "skill_high": pl.Float64,
    "reference": pl.String,
    "p_value": pl.Float64,
    "over_boosting": pl.Float64,
    "over_boosting_low": pl.Float64,
    "over_boosting_high": pl.Float64,
    "log_loss": pl.Float64,
    "brier": pl.Float64,
    "accuracy": pl.Float64,
    "weighted_f1": pl.Float64,
    "ece": pl.Float64,
    "excess_ece": pl.Float64,
    "latency_ms": pl.Float64,
    "calibration": pl.String,
    "failed_cells": pl.Int64,
    "share_of_best": pl.Float64,
    "trials": pl.Int64,
    "overfitting": pl.Float64,
    "effective_samples": pl.Float64,
    "sentence": pl.String,
}
SHOWN = (
    "rank",
    "model",
    "verdict",
    "skill",
    "over_boosting",
    "in_confidence_set",
    "set_p_value",
    "superior_p_value",
    "on_front",
    "log_loss",
    "excess_ece",
    "latency_ms",
    "overfitting",
    "fit_to_serve",
)
"""Columns of the short table beside the picture."""
REFUSED = "refused: miscalibrated"


def rank_models(
    judgements: Mapping[str, Judgement], comparison: Comparison, searches: Mapping[str, SearchHonesty]
) -> pl.DataFrame:
    """Rank an experiment's models by skill on the test part: the gain over the stronger volatility reference.

    A model with skill of which a calibration cell failed is refused and stands last.

    Args:
        judgements: Model name -> judgement; all on the same dataset.
        comparison: Of these models.
        searches: Model name -> what its study says about its choice.

    Returns:
        One row a model of `SCHEMA`, best first, equal ones by name; all scores after calibration. `superior_p_value`
        stands beside the one model that it is of. `on_front`: no other model is at least as good in log-loss and excess
        calibration error (and latency, where that of every model is known) and better in one of them. `over_boosting`:
        gain over gradient boosting on summaries of the same windows, where the configuration has it.
    """
    front = _front(judgements, searches)
    rows: list[dict[str, Any]] = [
        {
            "model": model,
            "verdict": REFUSED if judgement.verdict == "skill" and judgement.failed_cells else judgement.verdict,
            "fit_to_serve": judgement.fit_to_serve,
            "in_confidence_set": model in comparison.members,
            "set_p_value": comparison.set_p_values[model],
            "superior_p_value": comparison.superior_p if model == comparison.best else None,
            "on_front": front[model],
            "skill": judgement.reference.difference,
            "skill_low": judgement.reference.low,
            "skill_high": judgement.reference.high,
            "reference": judgement.reference.baseline,
            "p_value": judgement.reference.test.p_value,
            **_over_boosting(judgement),
            **{name: judgement.test.after[name] for name in ("log_loss", "brier", "accuracy", "weighted_f1", "ece")},
            "excess_ece": judgement.excess["after"].excess,
            "latency_ms": searches[model].latency_ms,
            "calibration": judgement.calibration["mark"] or judgement.calibration["kind"],
            "failed_cells": len(judgement.failed_cells),
            "share_of_best": None if judgement.best is None else judgement.best.share,
            "trials": searches[model].trials,
            "overfitting": searches[model].probability,
            "effective_samples": judgement.test.effective_samples,
            "sentence": judgement.sentence,
        }
        for model, judgement in sorted(judgements.items())
    ]
    rows.sort(key=lambda row: (row["verdict"] == REFUSED, -row["skill"]))
    return pl.DataFrame([{"rank": place} | row for place, row in enumerate(rows, start=1)], schema=SCHEMA)


def describe_ranking(ranking: pl.DataFrame, comparison: Comparison) -> str:
    """Say in one line which models may be the best, and whether that one beats the volatility."""
    if ranking.is_empty():
        return "No model was evaluated"
    if comparison.superior_p is None:
        return f"{ranking['model'][0]} is the only model"
    finest = 1 / comparison.replicates
    chance = f"p {comparison.superior_p:.4f}" if comparison.superior_p >= finest else f"p < {finest:.4f}"
    members = ranking.filter("in_confidence_set")["model"].to_list()
    return (
        f"{len(members)} of {ranking.height} models may be the best ({', '.join(members)}); against the "
        f"{comparison.reference}, the choice among {ranking.height} allowed for: {chance}, "
        f"clearest for {comparison.best}"
    )


def _over_boosting(judgement: Judgement) -> dict[str, float]:
    """Gain over gradient boosting on the same windows, and its interval; nothing where it was not asked for."""
    names = ("over_boosting", "over_boosting_low", "over_boosting_high")
    for skill in judgement.skills:
        if skill.baseline == BOOSTING:
            return dict(zip(names, (skill.difference, skill.low, skill.high), strict=True))
    return {}


def _front(judgements: Mapping[str, Judgement], searches: Mapping[str, SearchHonesty]) -> dict[str, bool]:
    """Whether each model is on the Pareto front; an error below a perfect model's is chance and counts as 0."""
    latencies = {model: searches[model].latency_ms for model in judgements}
    known = all(latency is not None for latency in latencies.values())
    points = [
        (
            judgement.test.after["log_loss"],
            max(judgement.excess["after"].excess, 0.0),
            (latencies[model] or 0.0) if known else 0.0,
        )
        for model, judgement in judgements.items()
    ]
    return dict(zip(judgements, pareto_front(points), strict=True))
