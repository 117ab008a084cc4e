from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.order_book.quality import QualityReport, clean_tall_rows
from trademl_assets.order_book.quality_report import quality_index
from trademl_assets_tests.order_book.books import DAY, MIDNIGHT
from trademl_assets_tests.order_book.corruptions import CORRUPTIONS, STEP_SECONDS, freeze, random_book, tolerant
from trademl_assets_tests.order_book.corruptions import come_late as late
from trademl_assets_tests.order_book.corruptions import scale_prices as fat_finger
from trademl_assets_tests.order_book.corruptions import send_again as again

WIDE = tolerant(gap_seconds=600.0)
PERFECT = QualityReport(rows=100, snapshots=50, kept_snapshots=50, coverage_seconds=86_400.0)


def index_of(tall: pl.DataFrame, parameters=WIDE) -> float:
    return clean_tall_rows(tall, "BTCUSDT", DAY, parameters)[1].quality_index


def whole_day(seed: int = 1) -> pl.DataFrame:
    """A snapshot every ten seconds, moved to one every nine minutes."""
    book = random_book(seed, snapshots=160, lead_in=0)
    seconds = (pl.col("ts") - MIDNIGHT).dt.total_seconds() // STEP_SECONDS * 540
    return book.with_columns(ts=pl.lit(MIDNIGHT) + pl.duration(seconds=seconds))


def test_a_perfect_day_has_the_index_one():
    assert index_of(whole_day()) == 1.0
    assert quality_index(PERFECT) == 1.0


@pytest.mark.parametrize("lead_in", [0, 3])
def test_an_empty_day_has_the_index_zero(lead_in):
    assert index_of(random_book(1, snapshots=lead_in, lead_in=lead_in)) == 0.0


FAULTS = {
    **{name: each.spoil for name, each in CORRUPTIONS.items()},
    "late": late,
    "again": again,
}


@given(st.integers(0, 1_000), st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 27)), max_size=6))
@settings(max_examples=80, deadline=None)
def test_every_fault_lowers_the_index(seed, faults):
    tall = random_book(seed, snapshots=30)
    indices = [index_of(tall)]
    faults_by_place = {place: name for name, place in faults}
    for place, name in sorted(faults_by_place.items(), key=lambda item: item[1] == "late"):  # others sort the rows
        tall = FAULTS[name](tall, tall["ts"].min() + timedelta(seconds=STEP_SECONDS * place))
        indices.append(index_of(tall))

    assert all(after < before for before, after in pairwise(indices))
    assert all(0 <= index <= 1 for index in indices)


@given(st.integers(0, 1_000), st.integers(4, 20))
@settings(max_examples=30, deadline=None)
def test_gaps_stuck_time_and_fat_fingers_lower_the_index(seed, place):
    book, parameters = random_book(seed, snapshots=40), tolerant()
    instant = book["ts"].min() + timedelta(seconds=STEP_SECONDS * place)
    gap = pl.col("ts").is_between(instant, instant + timedelta(seconds=70)).not_()

    assert index_of(book.filter(gap), parameters) < index_of(book, parameters)
    assert index_of(freeze(book, instant), parameters) < index_of(book, parameters)
    assert index_of(fat_finger(book, instant), parameters) < index_of(book, parameters)


@given(st.integers(1, 100), st.tuples(*(st.integers(0, most) for most in (100, 100, 200, 200, 86_400))))
@settings(max_examples=100)
def test_the_index_falls_with_every_count_and_stays_within_zero_and_one(snapshots, numbers):
    kept, flagged, late_rows, again_rows, covered = numbers
    kept = min(kept, snapshots)
    counts = {
        "kept_snapshots": kept,
        "flagged_snapshots": min(flagged, kept),
        "out_of_order_rows": late_rows,
        "superseded_rows": again_rows,
        "coverage_seconds": float(covered),
    }
    worse = {
        "kept_snapshots": max(kept - 1, min(flagged, kept)),
        "flagged_snapshots": min(flagged + 1, kept),
        "out_of_order_rows": late_rows + 1,
        "superseded_rows": again_rows + 1,
        "coverage_seconds": max(covered - 1.0, 0.0),
    }
    index = quality_index(QualityReport(rows=300, snapshots=snapshots, **counts))

    assert 0 <= index <= 1
    for name, value in worse.items():
        assert quality_index(QualityReport(rows=300, snapshots=snapshots, **{**counts, name: value})) <= index
