from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.calendar import days_between
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book.coverage import (
    COVERAGE_SCHEMA,
    RANGE_SCHEMA,
    DayFacts,
    coverage_rows,
    longest_ranges,
)
from trademl_assets.order_book.quality import QualityReport, clean_or_mask
from trademl_assets_tests.order_book.books import DAY
from trademl_assets_tests.order_book.corruptions import CORRUPTIONS, MIDNIGHT, random_book, tolerant

FIRST = date(2024, 1, 1)
HALF = QualityReport(rows=90, snapshots=30, kept_snapshots=28, coverage_seconds=43_200.0, quality_index=0.4).as_dict()


def row_of(facts: DayFacts | None) -> dict:
    found = coverage_rows("BTCUSDT", [FIRST], {} if facts is None else {FIRST: facts})
    assert dict(found.schema) == dict(COVERAGE_SCHEMA)
    return {name: value for name, value in found.row(0, named=True).items() if name not in {"instrument", "day"}}


def calendar(**instruments: str) -> pl.DataFrame:
    """A letter a day: # covered, h half covered, i imported, e empty, r rejected, . missing."""
    kinds = {
        "#": DayFacts(30, {**HALF, "coverage_seconds": 86_400.0, "quality_index": 1.0}, None),
        "h": DayFacts(28, HALF, None),
        "i": DayFacts(30, None, None),
        "e": DayFacts(0, {**HALF, "reason": "the source has no rows on the day"}, None),
        "r": DayFacts(0, None, "crossed"),
    }
    frames = []
    for name, letters in instruments.items():
        days = [FIRST + timedelta(days=n) for n in range(len(letters))]
        facts = {day: kinds[letter] for day, letter in zip(days, letters, strict=True) if letter != "."}
        frames.append(coverage_rows(name, days, facts))
    return pl.concat(frames)


def ranges(coverage: pl.DataFrame, *required: str, share: float = 0.4, missing: int = 0) -> list[tuple[int, int, int]]:
    """First and last day as numbers, and the days that are not good."""
    found = longest_ranges(coverage, required, share, missing)
    assert dict(found.schema) == dict(RANGE_SCHEMA)
    return [
        ((first - FIRST).days, (last - FIRST).days, bad)
        for first, last, bad in found.select("first", "last", "missing_days").iter_rows()
    ]


def test_a_covered_day_has_the_numbers_of_its_report():
    assert row_of(DayFacts(28, HALF, None)) == {
        "state": "covered",
        "rows": 28,
        "snapshots": 30,
        "dropped_snapshots": 2,
        "coverage_share": 0.5,
        "quality_index": 0.4,
        "cause": "",
    }


def test_imported_history_is_covered_with_rows_only():
    row = row_of(DayFacts(8_640, None, None))

    assert (row["state"], row["rows"], row["cause"]) == ("covered", 8_640, "")
    assert [row[name] for name in ("snapshots", "dropped_snapshots", "coverage_share", "quality_index")] == [None] * 4


@pytest.mark.parametrize(
    ("facts", "state", "cause"),
    [
        (None, "missing", "not materialised"),
        (DayFacts(0, None, None), "empty", "the source has no rows on the day"),
        (DayFacts(0, {**HALF, "reason": "nothing"}, None), "empty", "nothing"),
        (DayFacts(3, {**HALF, "reason": "only a lead-in"}, None), "empty", "only a lead-in"),
        (DayFacts(0, None, "crossed"), "rejected", "crossed"),
        (DayFacts(0, {**HALF, "rejected": "crossed", "reason": "long text"}, None), "rejected", "crossed"),
        (DayFacts(28, HALF, "crossed"), "covered", ""),
    ],
)
def test_the_state_of_a_day_says_why_it_is_not_covered(facts, state, cause):
    row = row_of(facts)

    assert (row["state"], row["cause"]) == (state, cause)


def test_reports_of_cleaning_lead_to_the_states():
    crossed = CORRUPTIONS["best bid above best ask"].spoil(random_book(1), MIDNIGHT)
    limits = tolerant(rejected_day="mask", max_crossed_share=0.0)
    states = []
    for tall in (random_book(1), crossed, random_book(1, snapshots=0)):
        rows, report = clean_or_mask(tall, "BTCUSDT", DAY, limits)
        states.append(row_of(DayFacts(rows["ts"].n_unique(), report.as_dict(), None))["state"])

    assert states == ["covered", "rejected", "empty"]


def test_ranges_are_those_that_all_required_instruments_cover():
    coverage = calendar(a="###e######", b="##########", c="#.........")

    assert ranges(coverage, "a", "b") == [(4, 9, 0), (0, 2, 0)]
    assert ranges(coverage, "b") == [(0, 9, 0)]
    assert ranges(coverage, "a", "b", "c") == [(0, 0, 0)]


def test_days_covered_too_little_break_a_range_and_unmeasured_ones_do_not():
    coverage = calendar(a="#h#ii#r#")

    assert ranges(coverage, "a", share=0.5) == [(0, 5, 0), (7, 7, 0)]
    assert ranges(coverage, "a", share=0.51) == [(2, 5, 0), (0, 0, 0), (7, 7, 0)]


def test_a_range_may_hold_some_missing_days_but_does_not_end_in_them():
    coverage = calendar(a="##.##..##.")

    assert ranges(coverage, "a", missing=1) == [(0, 4, 1), (7, 8, 0)]
    assert ranges(coverage, "a", missing=2) == [(3, 8, 2), (0, 4, 1)]
    assert ranges(coverage, "a", missing=3) == [(0, 8, 3)]


def test_means_are_over_measured_days_and_missing_ones_count_zero():
    found = longest_ranges(calendar(a="#ih.#"), ["a"], 0.0, 1)

    assert found.row(0, named=True) == {
        "first": FIRST,
        "last": FIRST + timedelta(days=4),
        "days": 5,
        "missing_days": 1,
        "mean_coverage": (1 + 0.5 + 0 + 1) / 4,
        "mean_quality": (1 + 0.4 + 0 + 1) / 4,
    }
    assert longest_ranges(calendar(a="ii"), ["a"], 0.5, 0)["mean_coverage"].to_list() == [None]


def test_days_that_the_calendar_does_not_have_are_missing():
    coverage = calendar(a="######").filter(pl.col("day").dt.day() != 3)

    assert ranges(coverage, "a") == [(3, 5, 0), (0, 1, 0)]
    assert longest_ranges(coverage, ["a"], 0.0, 1)["mean_coverage"].item() == pytest.approx(5 / 6)


def test_no_good_day_gives_no_range():
    assert ranges(calendar(a="r.e"), "a") == []


@pytest.mark.parametrize("required", [[], ["a", "z"]])
def test_instruments_unknown_to_the_calendar_are_refused(required):
    with pytest.raises(DataQualityError, match=r"\['a'\]"):
        longest_ranges(calendar(a="#"), required, 0.0, 0)


@given(st.lists(st.text("##.hri", min_size=14, max_size=14), min_size=1, max_size=3), st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_ranges_equal_those_of_trying_all(letters, missing):
    coverage = calendar(**{f"i{n}": each for n, each in enumerate(letters)})
    good = [all(each[day] in "#i" for each in letters) for day in range(14)]
    allowed = {
        (first, last)
        for first in range(14)
        for last in range(first, 14)
        if good[first] and good[last] and good[first : last + 1].count(False) <= missing
    }
    longest = [one for one in allowed if not any(o[0] <= one[0] and one[1] <= o[1] for o in allowed if o != one)]
    expected = sorted(longest, key=lambda one: (one[0] - one[1], one[0]))

    found = ranges(coverage, *(f"i{n}" for n in range(len(letters))), share=0.9, missing=missing)
    assert [(first, last) for first, last, _ in found] == expected
    assert [bad for *_, bad in found] == [good[first : last + 1].count(False) for first, last in expected]


def test_rows_stand_in_the_order_of_the_days():
    days = days_between(FIRST, FIRST + timedelta(days=4))

    assert coverage_rows("BTCUSDT", days, {})["day"].to_list() == list(days)
    assert coverage_rows("BTCUSDT", [], {}).is_empty()
