"""Every row of the policy as one named fault in an otherwise valid book: exactly its counts, and no other."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from trademl_assets.order_book.quality import QualityReport, RejectedDayError, clean_tall_rows
from trademl_assets_tests.order_book.books import DAY, MIDNIGHT
from trademl_assets_tests.order_book.corruptions import (
    CORRUPTIONS,
    DROPPED,
    FAULTS_OF_ROWS,
    STEP_SECONDS,
    STUCK_STEPS,
    TOLERANT,
    at,
    come_late,
    freeze,
    random_book,
    scale_prices,
    send_again,
    tolerant,
)
from trademl_assets_tests.order_book.plain_quality import plain_quality

SNAPSHOTS, LEVELS, LEAD_IN = 24, 4, 5
PLACES = {"first": 0, "lead-in": 2, "last of the lead-in": LEAD_IN - 1, "midnight": LEAD_IN, "last": SNAPSHOTS - 1}
TIMES = ("gaps", "longest_gap_seconds", "longest_gaps", "coverage_seconds", "stuck_seconds")
books = st.builds(
    lambda seed, levels: random_book(seed, SNAPSHOTS, levels, LEAD_IN), st.integers(0, 10_000), st.integers(2, 6)
)
places = st.one_of(st.sampled_from(sorted(PLACES.values())), st.integers(0, SNAPSHOTS - 1))


def instant_of(place: int):
    return MIDNIGHT + timedelta(seconds=STEP_SECONDS * (place - LEAD_IN))


def report_of(tall: pl.DataFrame) -> QualityReport:
    return clean_tall_rows(tall, "BTCUSDT", DAY, TOLERANT)[1]


def changes(before: QualityReport, after: QualityReport, *left_out: str) -> dict:
    """Fields that differ, numbers as differences."""
    old, new = before.as_dict(), after.as_dict()
    skipped = {"quality_index", "by_hour", *left_out}
    return {
        name: new[name] - old[name] if isinstance(new[name], int | float) else new[name]
        for name in old
        if name not in skipped and old[name] != new[name]
    }


@given(books)
@settings(max_examples=40, deadline=None)
def test_a_valid_book_passes_unchanged_and_unflagged(book):
    rows, report = clean_tall_rows(book, "BTCUSDT", DAY, TOLERANT)

    assert_frame_equal(rows, book)
    assert (report.snapshots, report.kept_snapshots) == (SNAPSHOTS, SNAPSHOTS)
    assert (report.dropped_snapshots, report.flagged_snapshots, report.by_hour) == (0, 0, {})
    assert (report.gaps, report.reason, report.rejected) == (1, None, None)


@given(books, st.sampled_from(sorted(CORRUPTIONS)), places)
@settings(max_examples=300, deadline=None)
def test_one_fault_of_a_snapshot_changes_exactly_its_counts(book, name, place):
    corruption, instant = CORRUPTIONS[name], instant_of(place)
    spoilt = corruption.spoil(book, instant)

    rows, report = clean_tall_rows(spoilt, "BTCUSDT", DAY, TOLERANT)

    assert changes(report_of(book), report, "rows", *TIMES) == corruption.changes
    assert report.kept_snapshots + report.dropped_snapshots == report.snapshots
    assert_frame_equal(rows, spoilt.filter(~at(instant)) if corruption.drops else spoilt)
    cause = next(iter(corruption.changes))
    assert report.by_hour == ({cause: (1, *[0] * 23)} if place >= LEAD_IN else {})


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_fault_is_found_at_the_edges_of_a_day(name, place):
    book = random_book(7, SNAPSHOTS, LEVELS, LEAD_IN)
    report = report_of(CORRUPTIONS[name].spoil(book, instant_of(place)))

    assert changes(report_of(book), report, "rows", *TIMES) == CORRUPTIONS[name].changes


@given(books, places)
@settings(max_examples=40, deadline=None)
def test_a_mid_that_jumps_and_comes_back_is_a_fat_finger(book, place):
    rows, report = clean_tall_rows(spoilt := scale_prices(book, instant_of(place)), "BTCUSDT", DAY, TOLERANT)

    inside = 0 < place < SNAPSHOTS - 1
    expected = {"outlier_mids": 2, "fat_finger_mids": 1, "flagged_snapshots": 2}
    assert changes(report_of(book), report) == (expected if inside else {"outlier_mids": 1, "flagged_snapshots": 1})
    assert_frame_equal(rows, spoilt)


@pytest.mark.parametrize(("away", "fingers"), [(1, 1), (3, 3), (6, 6), (7, 0), (50, 0)])
def test_a_jump_is_a_fat_finger_only_if_it_is_back_in_time(away, fingers):
    book = random_book(3, 60)
    for step in range(away):
        book = scale_prices(book, MIDNIGHT + timedelta(seconds=STEP_SECONDS * (5 + step)))

    report = report_of(book)

    assert (report.outlier_mids, report.fat_finger_mids) == (2, fingers)


def test_the_sound_mid_between_two_fat_fingers_is_none():
    book = random_book(3, 60)
    for place in (5, 7):
        book = scale_prices(book, MIDNIGHT + timedelta(seconds=STEP_SECONDS * place))

    report = report_of(book)

    assert (report.outlier_mids, report.fat_finger_mids) == (4, 2)


def test_a_move_across_a_gap_is_not_flagged():
    book = random_book(3, 60)
    resumed = MIDNIGHT + timedelta(seconds=200)
    moved = pl.concat(
        [book.filter(pl.col("ts") < MIDNIGHT + timedelta(seconds=130)), book.filter(pl.col("ts") >= resumed)]
    )
    for instant in moved.filter(pl.col("ts") >= resumed)["ts"].unique():
        moved = scale_prices(moved, instant)

    assert report_of(moved).flagged_snapshots == 0
    nearer = moved.with_columns(
        ts=pl.when(pl.col("ts") >= resumed).then(pl.col("ts").dt.offset_by("-20s")).otherwise("ts")
    )
    assert report_of(nearer).outlier_mids == 1


@given(books, places)
@settings(max_examples=60, deadline=None)
def test_a_book_that_stays_as_it_is_for_too_long_is_stuck_and_no_coverage(book, place):
    rows, report = clean_tall_rows(spoilt := freeze(book, instant_of(place)), "BTCUSDT", DAY, TOLERANT)

    before = report_of(book)
    if place + STUCK_STEPS + 1 >= SNAPSHOTS:
        assert changes(before, report, "rows") == {}
        return
    found = {"stuck_snapshots": 1, "flagged_snapshots": 1}
    if place + STUCK_STEPS + 1 > LEAD_IN:
        found |= {"stuck_seconds": 10.0, "coverage_seconds": -10.0}
    assert changes(before, report, "rows") == found
    assert_frame_equal(rows, spoilt)


def test_a_silence_is_a_gap_and_not_a_stuck_feed():
    book = freeze(random_book(1, 40), MIDNIGHT)
    last_repeat = MIDNIGHT + timedelta(seconds=STEP_SECONDS * (STUCK_STEPS + 1))
    quiet = book.filter(pl.col("ts").is_between(MIDNIGHT, last_repeat, closed="none").not_())

    report = report_of(quiet)

    assert (report.stuck_snapshots, report.stuck_seconds, report.gaps) == (0, 0.0, 2)
    assert report.longest_gaps[0] == ("2024-01-01T00:00:00+00:00", 70.0)


def test_a_book_whose_levels_change_their_numbers_is_not_stuck():
    frozen = freeze(random_book(1, 40, levels=2), MIDNIGHT)
    deeper = (pl.col("level") == 1) & (pl.col("ts").dt.second() % 20 == 0)
    numbered = frozen.with_columns(level=pl.when(deeper).then(2).otherwise("level").cast(pl.Int32))

    assert report_of(frozen).stuck_snapshots == 1
    assert report_of(numbered).stuck_snapshots == 0


@given(books, places)
@settings(max_examples=40, deadline=None)
def test_rows_sent_again_replace_the_earlier_ones(book, place):
    rows, report = clean_tall_rows(send_again(book, instant_of(place)), "BTCUSDT", DAY, TOLERANT)

    repeated = book.filter(at(instant_of(place))).height
    assert changes(report_of(book), report) == {"rows": repeated, "superseded_rows": repeated}
    assert rows.filter(at(instant_of(place)))["batch_id"].min() == 1_000 + place
    assert_frame_equal(rows.filter(~at(instant_of(place))), book.filter(~at(instant_of(place))))


@given(books, places)
@settings(max_examples=40, deadline=None)
def test_late_rows_are_put_in_order_and_counted(book, place):
    rows, report = clean_tall_rows(come_late(book, instant_of(place)), "BTCUSDT", DAY, TOLERANT)

    late = book.filter(at(instant_of(place))).height if place < SNAPSHOTS - 1 else 0
    behind = float(STEP_SECONDS * (SNAPSHOTS - 1 - place))
    found = {"out_of_order_rows": late, "most_late_seconds": behind} if late else {}
    assert changes(report_of(book), report) == found
    assert_frame_equal(rows, book)


def test_lateness_is_that_behind_the_latest_row_and_not_the_row_before():
    book = random_book(1)
    for place in (5, 3, 4):
        book = come_late(book, MIDNIGHT + timedelta(seconds=STEP_SECONDS * place))

    assert report_of(book).most_late_seconds == 230.0


def test_a_row_later_than_the_tolerance_refuses_the_day():
    late = come_late(random_book(1), MIDNIGHT)

    clean_tall_rows(late, "BTCUSDT", DAY, tolerant(max_out_of_order_seconds=260.0))
    with pytest.raises(RejectedDayError, match=r"a row lies 260\.000 s behind one before it") as refused:
        clean_tall_rows(late, "BTCUSDT", DAY, tolerant(max_out_of_order_seconds=259.0))
    assert refused.value.cause == "out_of_order"


@given(
    st.integers(0, 10_000),
    st.integers(0, 6),
    st.lists(st.tuples(st.sampled_from([*sorted(CORRUPTIONS), *sorted(FAULTS_OF_ROWS), "cut"]), places), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_any_mixture_of_faults_is_found_as_by_plain_rules(seed, lead_in, faults):
    tall = random_book(seed, SNAPSHOTS, LEVELS, lead_in)
    once = {}
    for name, place in faults:
        once.setdefault(place, name)
    for place, name in once.items():
        instant = tall["ts"][0] + timedelta(seconds=STEP_SECONDS * place)
        if name == "cut":
            tall = tall.filter(~pl.col("ts").is_between(instant, instant + timedelta(seconds=80)))
        elif tall.filter(at(instant)).height:
            spoil = CORRUPTIONS[name].spoil if name in CORRUPTIONS else FAULTS_OF_ROWS[name]
            tall = spoil(tall, instant)
        if tall.is_empty():
            break

    rows, report = clean_tall_rows(tall, "BTCUSDT", DAY, TOLERANT)
    expected_rows, expected = plain_quality(tall, DAY, TOLERANT)

    assert report.as_dict() == {**expected, "quality_index": pytest.approx(expected["quality_index"], rel=1e-12)}
    assert_frame_equal(rows, expected_rows)


def test_every_cause_of_a_dropped_snapshot_is_a_named_fault():
    assert {f"{name}_snapshots" for name in ("duplicate", "invalid", "one_sided", "crossed", "non_monotonic")} == {
        cause for _, cause in DROPPED.values()
    }
