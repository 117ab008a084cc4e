"""Baselines know only what had happened; cells and sets of the test part stand in the judgement."""

import json

import numpy as np
import polars as pl
import pytest

from trademl_assets.evaluation.honesty import judge_conformal
from trademl_assets.evaluation.judge import decisions, judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.references import baseline_losses, summary_features
from trademl_assets.evaluation.regimes import regime_rows
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example

PARAMETERS = evaluation_parameters()
EXAMPLE = make_example()
CALIBRATED = EXAMPLE.calibrated(PARAMETERS)


def losses(index: pl.DataFrame) -> dict[str, np.ndarray]:
    rows = decisions(CALIBRATED.table)
    return baseline_losses(
        rows,
        index,
        rows["label"].to_numpy().astype(np.int64),
        classes=5,
        boundaries_bps=EDGES_BPS,
        parameters=PARAMETERS.baselines,
    )


def test_chance_costs_the_log_of_the_classes_and_a_regression_knows_the_volatility():
    found = losses(EXAMPLE.index)
    assert found["random"] == pytest.approx(np.full(len(found["random"]), np.log(5)))
    assert found["logistic regression"].mean() < found["class prior"].mean() - 0.02


def test_no_feature_knows_a_return_that_was_not_complete():
    rows = EXAMPLE.index.sort("t0")
    decision = rows["t0"][5000]
    future = pl.when(pl.col("t1") > decision).then(999.0).otherwise(pl.col("return_bps"))
    before, after = (
        summary_features(rows.filter(pl.col("t0") <= decision), each)
        for each in (rows, rows.with_columns(return_bps=future))
    )
    assert (before == after).all()
    assert (summary_features(rows[:1], rows)[0][[1, 2, 3]] == 0).all()


def test_cells_and_sets_stand_in_the_judgement_and_survive_json():
    found = judge_model(
        CALIBRATED.table, EXAMPLE.index, EDGES_BPS, CALIBRATED.calibration, PARAMETERS, class_names=tuple("abcde")
    )
    assert {cell.verdict for cell in found.cells} == {"passed", "not judged (support)"}
    assert set(found.sets) == {"split", "adaptive"}
    assert found.sets["adaptive"].coverage == pytest.approx(0.9, abs=0.03)
    assert Judgement.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_scores_stand_by_regime_and_their_mean_is_the_whole():
    named = pl.when(pl.col("sample") % 3 == 0).then(pl.lit("calm")).otherwise(pl.lit(None))
    found = judge_model(
        CALIBRATED.table.with_columns(regime=named),
        EXAMPLE.index,
        EDGES_BPS,
        CALIBRATED.calibration,
        PARAMETERS,
        class_names=tuple("abcde"),
    )
    assert [each.regime for each in found.regimes] == ["calm", "unknown"]
    weights = np.array([each.samples for each in found.regimes])
    for name in ("log_loss", "brier", "accuracy"):
        mean = weights @ [each.scores[name] for each in found.regimes] / weights.sum()
        assert mean == pytest.approx(found.test.after[name])
    assert weights @ [each.gain for each in found.regimes] / weights.sum() == pytest.approx(found.reference.difference)
    parts = [found.test.after[f"brier_{name}"] for name in ("reliability", "resolution", "uncertainty", "within_bins")]
    assert parts @ np.array([1, -1, 1, 1]) == pytest.approx(found.test.after["brier"])
    assert found.intervals["brier_resolution"][0] <= parts[1] <= found.intervals["brier_resolution"][1]
    assert regime_rows(found.regimes)[0]["decisions"] == weights[0]


def test_probabilities_that_are_far_too_sure_fail_the_gate():
    example = make_example(sharpness=3.0)
    found = judge_model(
        example.calibrated(PARAMETERS).table.with_columns(
            **{f"after_{number}": pl.col(f"before_{number}") for number in range(5)}
        ),
        example.index,
        EDGES_BPS,
        CALIBRATED.calibration,
        PARAMETERS,
        class_names=tuple("abcde"),
    )
    assert "failed" in {cell.verdict for cell in found.cells}


def test_without_a_calibration_part_there_are_no_sets():
    assert judge_conformal(CALIBRATED.table.filter(pl.col("part") != "calibration"), PARAMETERS.conformal, 0) == {}
