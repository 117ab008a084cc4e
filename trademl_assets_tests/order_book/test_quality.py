from dataclasses import fields
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.quality import QualityReport, clean_tall_rows
from trademl_assets_tests.order_book.books import DAY, MIDNIGHT, QUALITY, steady_day, tall_rows

AT = 5
"""Number of the snapshot that is spoilt."""


def _set(tall, column, value, level=1):
    here = (pl.col("batch_id") == AT) & (pl.col("level") == level)
    return tall.with_columns(
        pl.when(here).then(pl.lit(value, dtype=pl.Float64)).otherwise(pl.col(column)).alias(column)
    )


def _repeat_a_row(tall):
    return pl.concat([tall, tall.filter(pl.col("batch_id") == AT, pl.col("level") == 1)]).sort("ts", "level")


CORRUPTIONS = {
    "repeated row": (_repeat_a_row, "duplicate_snapshots"),
    "price is NaN": (lambda tall: _set(tall, "bid_price", float("nan")), "invalid_snapshots"),
    "price is infinite": (lambda tall: _set(tall, "ask_price", float("inf")), "invalid_snapshots"),
    "price is zero": (lambda tall: _set(tall, "ask_price", 0.0), "invalid_snapshots"),
    "price is negative": (lambda tall: _set(tall, "bid_price", -1.0), "invalid_snapshots"),
    "quantity is NaN": (lambda tall: _set(tall, "bid_quantity", float("nan")), "invalid_snapshots"),
    "a level of NaN": (
        lambda tall: _set(_set(tall, "bid_quantity", float("nan")), "bid_price", float("nan")),
        "invalid_snapshots",
    ),
    "bid quantity is negative": (lambda tall: _set(tall, "bid_quantity", -1.0), "invalid_snapshots"),
    "ask quantity is negative": (lambda tall: _set(tall, "ask_quantity", -1.0), "invalid_snapshots"),
    "quantity without price": (lambda tall: _set(tall, "ask_price", None), "invalid_snapshots"),
    "price without quantity": (lambda tall: _set(tall, "bid_quantity", None), "invalid_snapshots"),
    "best bid is empty": (lambda tall: _set(tall, "bid_quantity", 0.0, level=0), "one_sided_snapshots"),
    "best bid above best ask": (lambda tall: _set(tall, "bid_price", 101.0, level=0), "crossed_snapshots"),
    "deep bid above the best": (lambda tall: _set(tall, "bid_price", 99.99), "non_monotonic_snapshots"),
    "two levels of one price": (
        lambda tall: _set(tall, "ask_price", 100.1 + 0.01 * (AT % 3), 1),
        "non_monotonic_snapshots",
    ),
}
COUNTS = [
    field.name
    for field in fields(QualityReport)
    if field.name.endswith("_snapshots") and field.name != "kept_snapshots"
]


def test_a_valid_day_passes_unchanged():
    tall = steady_day()

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)

    assert_frame_equal(rows, tall)
    assert report.snapshots == report.kept_snapshots == 20
    assert {name: getattr(report, name) for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert (report.rows, report.dropped_snapshots, report.out_of_order_rows, report.reason) == (80, 0, 0, None)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_one_corruption_drops_its_snapshot_under_its_cause_and_no_other(name):
    corrupt, cause = CORRUPTIONS[name]
    tall = steady_day()

    rows, report = clean_tall_rows(corrupt(tall), "BTCUSDT", DAY, QUALITY)

    assert {key: getattr(report, key) for key in COUNTS} == {**dict.fromkeys(COUNTS, 0), cause: 1}
    assert_frame_equal(rows, tall.filter(pl.col("batch_id") != AT))


@given(
    snapshots=st.integers(AT + 1, 12),
    levels=st.integers(2, 5),
    name=st.sampled_from(sorted(CORRUPTIONS)),
    seed=st.randoms(),
)
@settings(max_examples=60, deadline=None)
def test_verdicts_do_not_depend_on_the_order_of_rows(snapshots, levels, name, seed):
    corrupt, _ = CORRUPTIONS[name]
    tall = corrupt(steady_day(snapshots, levels))
    order = list(range(tall.height))
    seed.shuffle(order)
    anything = QUALITY.model_copy(update={"max_out_of_order_share": 1.0})

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, anything)
    shuffled_rows, shuffled_report = clean_tall_rows(tall[order], "BTCUSDT", DAY, anything)

    in_order = {"out_of_order_rows": 0, "most_late_seconds": 0.0, "quality_index": 0.0}
    assert_frame_equal(shuffled_rows, rows)
    assert {**shuffled_report.as_dict(), **in_order} == {**report.as_dict(), **in_order}


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("price is NaN", "max_invalid_share"),
        ("repeated row", "max_invalid_share"),
        ("best bid above best ask", "max_crossed_share"),
        ("deep bid above the best", "max_crossed_share"),
        ("best bid is empty", "max_one_sided_share"),
    ],
)
def test_a_share_beyond_its_limit_refuses_the_day_by_name(name, limit):
    spoilt = CORRUPTIONS[name][0](steady_day(snapshots=20))

    clean_tall_rows(spoilt, "BTCUSDT", DAY, QUALITY.model_copy(update={limit: 0.05}))
    with pytest.raises(DataQualityError, match=r"BTCUSDT 2024-01-01: 1 of 20 .*5\.000%"):
        clean_tall_rows(spoilt, "BTCUSDT", DAY, QUALITY.model_copy(update={limit: 0.049}))


def test_rows_out_of_order_are_sorted_and_counted_up_to_a_limit():
    tall = steady_day()
    mixed = pl.concat([tall[:8], tall[12:16], tall[8:12], tall[16:]])

    rows, report = clean_tall_rows(mixed, "BTCUSDT", DAY, QUALITY)

    assert_frame_equal(rows, tall)
    assert report.out_of_order_rows == 4
    with pytest.raises(DataQualityError, match="rows out of order"):
        clean_tall_rows(mixed, "BTCUSDT", DAY, QUALITY.model_copy(update={"max_out_of_order_share": 0.01}))


def test_a_later_batch_at_the_same_instant_replaces_the_whole_earlier_one():
    tall = steady_day(snapshots=10)
    later = tall.filter(pl.col("batch_id") == AT, pl.col("level") < 3).with_columns(
        pl.col("batch_id") + 100, bid_quantity=pl.lit(7.0)
    )
    both = pl.concat([tall, later]).sort("ts", "level", "batch_id")

    rows, report = clean_tall_rows(both, "BTCUSDT", DAY, QUALITY)

    assert report.superseded_rows == 4
    assert report.dropped_snapshots == 0
    assert_frame_equal(rows.filter(pl.col("batch_id") >= 100), later)
    assert rows.height == tall.height - 1


def test_contradicting_rows_of_one_batch_refuse_the_day():
    tall = steady_day()
    contradiction = tall.filter(pl.col("batch_id") == AT, pl.col("level") == 1).with_columns(bid_quantity=pl.lit(7.0))

    with pytest.raises(DataQualityError, match=r"BTCUSDT 2024-01-01.*00:00:50.* level 1 batch 5"):
        clean_tall_rows(pl.concat([tall, contradiction]).sort("ts", "level"), "BTCUSDT", DAY, QUALITY)


def test_missing_levels_are_no_fault():
    tall = tall_rows([MIDNIGHT], [[(99.0, 1.0), None, (98.0, 1.0)]], [[(101.0, 1.0)]])

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)

    assert_frame_equal(rows, tall)
    assert report.kept_snapshots == 1


def test_levels_padded_with_empty_quantity_are_no_fault():
    tall = tall_rows([MIDNIGHT], [[(99.0, 1.0), (99.0, 0.0)]], [[(101.0, 1.0), (101.0, 0.0)]])

    assert clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)[1].kept_snapshots == 1


def test_a_locked_book_is_kept_and_flagged():
    tall = tall_rows([MIDNIGHT], [[(100.0, 1.0)]], [[(100.0, 1.0)]])

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)

    assert rows.height == 1
    assert report.locked_snapshots == 1


def test_an_outlying_price_is_kept_and_flagged():
    instants = [MIDNIGHT + timedelta(seconds=10 * number) for number in range(50)]
    noise = np.random.default_rng(1).normal(0.0, 0.01, 50)
    mids = [100.0 + noise[number] + (30.0 if number == 25 else 0.0) for number in range(50)]
    tall = tall_rows(instants, [[(mid - 0.1, 1.0)] for mid in mids], [[(mid + 0.1, 1.0)] for mid in mids])

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)

    assert rows.height == 50
    assert report.outlier_mids == 2  # the way there and the way back


def test_an_empty_day_is_a_frame_of_zero_rows_with_a_reason():
    rows, report = clean_tall_rows(steady_day(snapshots=0), "BTCUSDT", DAY, QUALITY)

    assert rows.is_empty()
    assert report.reason == "the source has no rows on the day"
    assert report.coverage_seconds == 0


def test_the_lead_in_is_kept_and_alone_does_not_make_a_day():
    lead_in = steady_day(snapshots=3, first=MIDNIGHT - timedelta(seconds=30))

    rows, report = clean_tall_rows(lead_in, "BTCUSDT", DAY, QUALITY)

    assert_frame_equal(rows, lead_in)
    assert report.reason == "the source has no rows on the day"


@pytest.mark.parametrize("shift", [timedelta(days=1), timedelta(seconds=-121), timedelta(days=-19_000)])
def test_instants_outside_the_day_and_its_lead_in_refuse_the_day(shift):
    with pytest.raises(DataQualityError, match=r"BTCUSDT 2024-01-01.*outside the day.*time unit"):
        clean_tall_rows(steady_day(snapshots=1, first=MIDNIGHT + shift), "BTCUSDT", DAY, QUALITY)


def test_gaps_are_measured_from_midnight_to_midnight():
    tall = steady_day(snapshots=6 * 60 * 23, levels=1, first=MIDNIGHT + timedelta(minutes=30))

    _, report = clean_tall_rows(tall, "BTCUSDT", DAY, QUALITY)

    assert report.gaps == 2
    assert report.longest_gap_seconds == 1_810
    assert report.coverage_seconds == 23 * 3_600 - 10


def test_too_little_coverage_refuses_a_day_that_has_rows():
    demanding = QUALITY.model_copy(update={"min_coverage_seconds": 3_600.0})

    with pytest.raises(DataQualityError, match=r"BTCUSDT 2024-01-01: covers 190 s, at least 3600 s"):
        clean_tall_rows(steady_day(snapshots=20), "BTCUSDT", DAY, demanding)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda tall: tall.drop("ask_price"), "ask_price: missing instead of Float64"),
        (lambda tall: tall.with_columns(symbol=pl.lit("X")), "symbol: String instead of nothing"),
        (lambda tall: tall.with_columns(pl.col("level").cast(pl.Int64)), "level: Int64 instead of Int32"),
        (lambda tall: tall.with_columns(pl.col("ts").dt.cast_time_unit("ms")), "ts: Datetime"),
        (lambda tall: tall.with_columns(pl.col("ts").dt.replace_time_zone(None)), "ts: Datetime"),
        (lambda tall: tall.select(reversed(tall.columns)), "columns in the order"),
        (lambda tall: tall.with_columns(level=pl.lit(None, dtype=pl.Int32)), "80 tall rows have no level"),
    ],
)
def test_a_wrong_schema_refuses_the_day_and_says_what_differs(spoil, found):
    with pytest.raises(DataQualityError, match=f"BTCUSDT 2024-01-01.*{found}"):
        clean_tall_rows(spoil(steady_day()), "BTCUSDT", DAY, QUALITY)
