"""The models of an experiment, ranked by what they gain over knowing the volatility alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from trademl_assets.evaluation.judgement import Judgement

SCHEMA = {
    "rank": pl.Int64,
    "model": pl.String,
    "verdict": pl.String,
    "skill": pl.Float64,
    "skill_low": pl.Float64,
    "skill_high": pl.Float64,
    "reference": pl.String,
    "p_value": pl.Float64,
    "log_loss": pl.Float64,
    "brier": pl.Float64,
    "accuracy": pl.Float64,
    "weighted_f1": pl.Float64,
    "ece": pl.Float64,
    "excess_ece": pl.Float64,
    "calibration": pl.String,
    "share_of_best": pl.Float64,
    "effective_samples": pl.Float64,
    "sentence": pl.String,
}


def rank_models(judgements: Mapping[str, Judgement]) -> pl.DataFrame:
    """Rank an experiment's models by skill on the test part: the gain over the stronger volatility reference.

    Args:
        judgements: Model name -> judgement; all on the same dataset.

    Returns:
        One row a model of `SCHEMA`, best first, equal ones by name; all scores after calibration.
    """
    rows: list[dict[str, Any]] = [
        {
            "model": model,
            "verdict": judgement.verdict,
            "skill": judgement.reference.difference,
            "skill_low": judgement.reference.low,
            "skill_high": judgement.reference.high,
            "reference": judgement.reference.baseline,
            "p_value": judgement.reference.test.p_value,
            **{name: judgement.test.after[name] for name in ("log_loss", "brier", "accuracy", "weighted_f1", "ece")},
            "excess_ece": judgement.excess["after"].excess,
            "calibration": judgement.calibration["mark"] or judgement.calibration["kind"],
            "share_of_best": None if judgement.best is None else judgement.best.share,
            "effective_samples": judgement.test.effective_samples,
            "sentence": judgement.sentence,
        }
        for model, judgement in sorted(judgements.items())
    ]
    rows.sort(key=lambda row: -row["skill"])
    return pl.DataFrame([{"rank": place} | row for place, row in enumerate(rows, start=1)], schema=SCHEMA)
