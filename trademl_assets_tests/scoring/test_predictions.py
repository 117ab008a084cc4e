"""The way from members' logits to calibrated probabilities."""

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.predictions import calibrate_predictions, class_columns
from trademl_assets_tests.scoring.limits import calibration_parameters

LIMITS = calibration_parameters()
HOUR = 3_600_000_000


def _index(rows: int) -> pl.DataFrame:
    t0 = np.arange(rows) * HOUR
    return pl.DataFrame(
        {
            "sample": np.arange(rows),
            "t0": pl.Series(t0).cast(pl.Datetime("us", "UTC")),
            "t1": pl.Series(t0 + HOUR).cast(pl.Datetime("us", "UTC")),
            "part": ["calibration"] * (rows // 2) + ["test"] * (rows - rows // 2),
            "label": np.random.default_rng(0).integers(3, size=rows),
            "return_bps": 0.0,
            "sigma_bps": 1.0,
            "regime": "unknown",
        }
    )


def _logits(rows: int, members: int, seed: int = 1) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.concat(
        pl.DataFrame({"sample": np.arange(rows), "member": [member] * rows}).with_columns(
            **{f"logit_{number}": 3 * generator.standard_normal(rows) for number in range(3)}
        )
        for member in range(members)
    )


def test_rows_may_come_in_any_order():
    index, logits = _index(400), _logits(400, 2)
    straight = calibrate_predictions(logits, index, LIMITS)
    mixed = calibrate_predictions(logits.sample(fraction=1.0, shuffle=True, seed=3), index, LIMITS)
    assert straight.table.equals(mixed.table)
    assert straight.calibration == mixed.calibration
    assert straight.table["sample"].to_list() == list(range(400))


def test_the_test_part_does_not_move_the_calibration():
    index, logits = _index(400), _logits(400, 2)
    changed = index.with_columns(label=pl.when(pl.col("part") == "test").then(0).otherwise(pl.col("label")))
    assert (
        calibrate_predictions(logits, index, LIMITS).calibration
        == calibrate_predictions(logits, changed, LIMITS).calibration
    )


def test_independent_labels_decide_whether_a_temperature_is_fitted():
    assert calibrate_predictions(_logits(400, 1), _index(400), LIMITS).calibration.effective_samples == 200
    few = calibrate_predictions(_logits(150, 1), _index(150), LIMITS)
    assert few.calibration.mark == "uncalibrated"
    np.testing.assert_array_equal(class_columns(few.table, "before"), class_columns(few.table, "after"))


def test_members_with_other_samples_and_unknown_samples_are_refused():
    index, logits = _index(40), _logits(40, 2)
    with pytest.raises(EvaluationError, match="other samples"):
        calibrate_predictions(logits[:-1], index, LIMITS)
    with pytest.raises(EvaluationError, match="sample 39 was predicted"):
        calibrate_predictions(logits, index[:-1], LIMITS)
    with pytest.raises(EvaluationError, match="calibration part"):
        calibrate_predictions(logits.filter(pl.col("sample") >= 20), index, LIMITS)
    with pytest.raises(EvaluationError, match="no predictions"):
        calibrate_predictions(logits.clear(), index, LIMITS)
