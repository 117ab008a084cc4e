from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.quality import QualityReport, RejectedDayError, clean_or_mask, clean_tall_rows
from trademl_assets.order_book.refusals import REFUSALS
from trademl_assets.sources.contract import TALL_SCHEMA
from trademl_assets_tests.order_book.books import DAY, MIDNIGHT
from trademl_assets_tests.order_book.corruptions import CORRUPTIONS, STEP_SECONDS, at, come_late, random_book, tolerant

PLACE = MIDNIGHT + timedelta(seconds=5 * STEP_SECONDS)


def contradict(tall: pl.DataFrame) -> pl.DataFrame:
    other = tall.filter(at(PLACE, 0)).with_columns(pl.col("bid_quantity") + 1)
    return pl.concat([tall, other]).sort("ts", "level", maintain_order=True)


def move(tall: pl.DataFrame, factor: int = 1, divisor: int = 1) -> pl.DataFrame:
    return tall.with_columns(ts=(pl.col("ts").to_physical() * factor // divisor).cast(tall.schema["ts"]))


SPOILT = {
    "schema": (lambda tall: tall.with_columns(pl.col("level").cast(pl.Int64)), {}),
    "outside_day": (lambda tall: move(tall, divisor=1_000), {}),
    "conflicting_duplicates": (contradict, {}),
    "out_of_order": (lambda tall: come_late(tall, PLACE), {"max_out_of_order_share": 0.0}),
    "invalid": (lambda tall: CORRUPTIONS["bid price is NaN"].spoil(tall, PLACE), {"max_invalid_share": 0.0}),
    "crossed": (lambda tall: CORRUPTIONS["best bid above best ask"].spoil(tall, PLACE), {"max_crossed_share": 0.0}),
    "one_sided": (lambda tall: CORRUPTIONS["no bids"].spoil(tall, PLACE), {"max_one_sided_share": 0.0}),
    "coverage": (lambda tall: tall, {"min_coverage_seconds": 86_400.0}),
}
"""A fault and the limit it breaks, by cause."""


def test_every_refusal_is_tried():
    assert set(SPOILT) == set(REFUSALS)


@pytest.mark.parametrize("cause", SPOILT)
def test_a_refused_day_says_where_why_and_what_was_found(cause):
    spoil, limits = SPOILT[cause]
    spoilt = spoil(random_book(1))

    with pytest.raises(RejectedDayError, match="BTCUSDT 2024-01-01") as refused:
        clean_tall_rows(spoilt, "BTCUSDT", DAY, tolerant(**limits))

    error = refused.value
    assert isinstance(error, DataQualityError)
    assert error.cause == error.report.rejected == cause
    assert error.report.reason == str(error)
    assert error.report.rows == spoilt.height
    judged = cause not in {"schema", "outside_day", "conflicting_duplicates"}
    assert error.report.snapshots == (30 if judged else 0)
    assert error.report.kept_snapshots + error.report.dropped_snapshots == error.report.snapshots


@pytest.mark.parametrize("cause", [cause for cause in SPOILT if cause != "schema"])
def test_a_masked_day_is_zero_rows_with_the_cause(cause):
    spoil, limits = SPOILT[cause]
    spoilt = spoil(random_book(1))

    rows, report = clean_or_mask(spoilt, "BTCUSDT", DAY, tolerant(rejected_day="mask", **limits))

    assert rows.is_empty()
    assert dict(rows.schema) == dict(TALL_SCHEMA)
    assert report.rejected == cause
    assert "BTCUSDT 2024-01-01" in report.reason
    with pytest.raises(RejectedDayError):
        clean_or_mask(spoilt, "BTCUSDT", DAY, tolerant(rejected_day="refuse", **limits))


def test_a_source_of_another_shape_is_never_masked():
    with pytest.raises(RejectedDayError, match="wrong schema"):
        clean_or_mask(random_book(1).drop("level"), "BTCUSDT", DAY, tolerant(rejected_day="mask"))


@pytest.mark.parametrize("policy", ["refuse", "mask"])
def test_a_good_day_is_the_same_under_both_policies(policy):
    book = random_book(1)

    rows, report = clean_or_mask(book, "BTCUSDT", DAY, tolerant(rejected_day=policy))

    assert_frame_equal(rows, book)
    assert report.rejected is None


@pytest.mark.parametrize(
    ("factor", "divisor", "guess"),
    [
        (1, 1_000, "milliseconds taken for microseconds"),
        (1, 1_000_000, "seconds taken for microseconds"),
        (1_000, 1, "nanoseconds taken for microseconds"),
    ],
)
def test_a_wrong_time_unit_is_named(factor, divisor, guess):
    with pytest.raises(RejectedDayError, match=rf"lie outside the day.*; they are {guess} -> check the time unit"):
        clean_tall_rows(move(random_book(1), factor, divisor), "BTCUSDT", DAY, tolerant())


@pytest.mark.parametrize("days", [1, 36_500, 100_000_000, -1])
def test_a_single_instant_far_off_refuses_the_day(days):
    book = random_book(1)
    shifted = pl.col("ts").to_physical() + days * 86_400_000_000
    spoilt = book.with_columns(
        ts=pl.when(at(MIDNIGHT)).then(shifted).otherwise(pl.col("ts").to_physical()).cast(book.schema["ts"])
    )

    with pytest.raises(RejectedDayError, match="outside the day") as refused:
        clean_tall_rows(spoilt, "BTCUSDT", DAY, tolerant())
    assert refused.value.cause == "outside_day"


@pytest.mark.parametrize("cause", ["invalid", "crossed", "one_sided"])
def test_the_limit_itself_is_allowed(cause):
    spoilt = SPOILT[cause][0](random_book(1, snapshots=29))
    limit = f"max_{cause}_share"

    assert clean_tall_rows(spoilt, "BTCUSDT", DAY, tolerant(**{limit: 1 / 29}))[1].dropped_snapshots == 1
    with pytest.raises(RejectedDayError, match=r"1 of 29 .*3\.448%"):
        clean_tall_rows(spoilt, "BTCUSDT", DAY, tolerant(**{limit: 0.0344}))


def test_a_report_comes_back_from_json_as_it_is():
    import json  # noqa: PLC0415 -- this test alone

    report = clean_tall_rows(SPOILT["crossed"][0](random_book(1)), "BTCUSDT", DAY, tolerant())[1]

    assert json.loads(json.dumps(report.as_dict())) == report.as_dict()
    assert QualityReport(rows=3).as_dict()["kept_snapshots"] == 0
