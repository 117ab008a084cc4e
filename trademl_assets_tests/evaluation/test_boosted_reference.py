"""Gradient boosting is fitted on training rows, calibrated as a model is, and judged on the same decisions."""

import json

import numpy as np
import polars as pl
import pytest

from trademl_assets.evaluation.boosted_reference import BOOSTING, Summaries, boosted_logits, calibrated_forecast
from trademl_assets.evaluation.judge import decisions, judge_model
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example

BOOSTED = {
    "summaries": {
        "book_bands": 1,
        "book_looks": 1,
        "book_spans_seconds": [1],
        "return_spans_seconds": [1],
        "long_term_spans_days": [1],
    },
    "rows_at_most": 10_000,
    "learning_rate": 0.2,
    "most_rounds": 40,
    "patience_rounds": 5,
    "held_back_share": 0.2,
    "most_leaves": 4,
    "least_rows_a_leaf": 100,
    "l2": 1.0,
    "column_share": 1.0,
}
PARAMETERS = evaluation_parameters()
BASELINES = BaselineParameters.model_validate_json(
    json.dumps(PARAMETERS.baselines.model_dump(mode="json") | {"boosting": BOOSTED})
)
EXAMPLE = make_example(known=0.3)


def summaries(index: pl.DataFrame, parts: tuple[str, ...]) -> Summaries:
    """Sigma, and what the next half hour brings, dimly."""
    rows = index.filter(pl.col("part").is_in(parts)).sort("t0")
    noise = np.random.default_rng(0).standard_normal(index.height)[rows["sample"].to_numpy()]
    sigma = rows["sigma_bps"].to_numpy()
    features = np.column_stack([sigma, EXAMPLE.index["return_bps"].to_numpy()[rows["sample"]] / sigma + noise])
    return Summaries(rows["sample"].to_numpy(), features.astype(np.float32))


def forecast(index: pl.DataFrame) -> np.ndarray:
    known, asked = summaries(index, ("train",)), summaries(index, ("calibration", "test"))
    logits = boosted_logits(known, asked, index, classes=5, baselines=BASELINES, seed=0)
    return calibrated_forecast(logits, index, PARAMETERS.calibration)


def test_it_stands_among_the_baselines_and_is_the_one_to_beat_where_it_knows_more_than_the_model():
    found = EXAMPLE.calibrated(PARAMETERS)
    judgement = judge_model(
        found.table,
        EXAMPLE.index,
        EDGES_BPS,
        found.calibration,
        PARAMETERS,
        class_names=tuple("abcde"),
        more_baselines={BOOSTING: forecast(EXAMPLE.index)},
    )
    skill = judgement.skills[-1]
    assert skill.baseline == BOOSTING
    assert skill.high < 0 < judgement.reference.difference


def test_what_happens_in_the_test_part_changes_nothing_and_the_calibration_part_only_calibrates():
    plain = forecast(EXAMPLE.index)
    assert len(plain) == decisions(EXAMPLE.calibrated(PARAMETERS).table).height
    assert plain.sum(axis=1) == pytest.approx(np.ones(len(plain)))
    turned = pl.when(pl.col("part") == "test").then(4 - pl.col("label")).otherwise(pl.col("label")).cast(pl.Int8)
    assert (forecast(EXAMPLE.index.with_columns(label=turned)) == plain).all()
    bent = pl.when(pl.col("part") == "calibration").then(4 - pl.col("label")).otherwise(pl.col("label")).cast(pl.Int8)
    other = forecast(EXAMPLE.index.with_columns(label=bent))
    assert np.abs(other - plain).max() > 0.01
    assert (other.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.9
