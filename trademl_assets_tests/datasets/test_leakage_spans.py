from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.leakage_spans import audit_folds, audit_spans, overlaps
from trademl_assets.datasets.splits import Block
from trademl_assets.foundation.calendar import to_microseconds

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
APART = "folds: no training label span overlaps a validation one"
CALIBRATION = "no calibration label span overlaps one of training or early stopping"


def us(hours: float) -> int:
    return to_microseconds(START + hours * HOUR)


def index_of(*rows: tuple[float, float, str]) -> pl.DataFrame:
    """Rows (t0, t1, part), times in hours from the start."""
    return pl.DataFrame(
        {
            "t0": [START + first * HOUR for first, _, _ in rows],
            "t1": [START + last * HOUR for _, last, _ in rows],
            "part": [part for _, _, part in rows],
        },
        schema_overrides={"t0": pl.Datetime("us", "UTC"), "t1": pl.Datetime("us", "UTC")},
    )


BLOCKS = (
    Block("train", us(0), us(10)),
    Block("validation", us(10), us(20)),
    Block("calibration", us(20), us(30)),
    Block("test", us(30), us(40)),
)
HONEST = ((1, 2, "train"), (8, 10, "train"), (11, 12, "validation"), (21, 22, "calibration"), (31, 40, "test"))
FOLDS = [{"train": [[us(0), us(10)]], "validation": [us(10), us(20)]}]


def broken(index: pl.DataFrame, folds: list[dict[str, object]] | None = None) -> set[str]:
    return {finding.rule for finding in audit_spans(index, BLOCKS, 3600, folds or []) if not finding.passed}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9), st.booleans()), min_size=1, max_size=12))
def test_overlaps_are_those_of_every_pair(drawn: list[tuple[int, int, bool]]) -> None:
    t0 = np.asarray([first for first, _, _ in drawn])
    t1 = t0 + np.asarray([length for _, length, _ in drawn])
    others = np.asarray([other for _, _, other in drawn])

    found = overlaps(t0, t1, others)

    pairs = (t0[:, None] < t1[others]) & (t0[others] < t1[:, None])
    assert found.tolist() == pairs.any(axis=1).tolist()


def test_several_labels_a_decision_and_spans_that_touch_are_honest() -> None:
    assert broken(index_of(*HONEST, (8, 9, "train"), (31, 33, "test")), FOLDS) == set()


def test_a_calibration_label_that_reaches_into_early_stopping_is_found() -> None:
    assert CALIBRATION in broken(index_of(*HONEST, (11.5, 12.5, "calibration")))


def test_a_fold_that_trains_on_calibration_or_test_time_is_found() -> None:
    folds = [{"train": [[us(0), us(10)], [us(25), us(35)]], "validation": [[us(10), us(20)]]}]

    found = broken(index_of(*HONEST, (26, 27, "calibration")), folds)

    assert found == {
        "folds: no label of theirs overlaps one of calibration, test or degradation",
        "folds: their time leaves out calibration, test and degradation",
    }


def test_a_fold_whose_training_and_validation_overlap_is_found() -> None:
    folds = [{"train": [[us(0), us(12)]], "validation": [us(10), us(20)]}]
    (finding,) = audit_folds(index_of(*HONEST), BLOCKS, 3600, folds)
    assert (finding.rule, finding.passed) == (APART, False)
    assert "fold 1" in finding.detail


@pytest.mark.parametrize(("begins", "kept"), [(20.5, False), (21.5, True)])
def test_the_embargo_after_a_held_out_block_is_judged_to_the_second(*, begins: float, kept: bool) -> None:
    blocks = (*BLOCKS[:2], Block("train", us(20), us(30)), BLOCKS[3])
    rows = ((1, 2, "train"), (11, 12, "validation"), (begins, begins + 1, "train"), (31, 32, "test"))
    rule = "training keeps the embargo after held-out blocks"
    found = {finding.rule: finding.passed for finding in audit_spans(index_of(*rows), blocks, 3600, [])}
    assert found[rule] is kept
