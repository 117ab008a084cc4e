import struct
from datetime import date, timedelta
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from trademl_assets.foundation.calendar import days_between
from trademl_assets.order_book.coverage import COVERAGE_SCHEMA, DayFacts, coverage_rows
from trademl_assets.order_book.coverage_plots import draw_coverage_calendar
from trademl_assets.order_book.quality import QualityReport, clean_tall_rows
from trademl_assets.order_book.quality_plots import draw_quality_day
from trademl_assets_tests.order_book.books import DAY
from trademl_assets_tests.order_book.corruptions import CORRUPTIONS, random_book, tolerant

FIRST = date(2022, 3, 5)
FULL = QualityReport(rows=1, snapshots=9, kept_snapshots=9, coverage_seconds=86_400.0, quality_index=0.2).as_dict()
KINDS = {
    "covered": DayFacts(9, FULL, None),
    "half covered": DayFacts(9, {**FULL, "coverage_seconds": 43_200.0}, None),
    "imported": DayFacts(9, None, None),
    "empty": DayFacts(0, None, None),
    "rejected": DayFacts(0, None, "crossed"),
    "missing": None,
}


def calendar(instruments: int, days: int, kind: str = "covered", at: int = 1) -> pl.DataFrame:
    """All days covered but one."""
    dates = days_between(FIRST, FIRST + timedelta(days=days - 1))
    facts = dict.fromkeys(dates, KINDS["covered"]) | {dates[at]: KINDS[kind]}
    known = {day: each for day, each in facts.items() if each is not None}
    return pl.concat([coverage_rows(f"INSTRUMENT{n}", dates, known) for n in range(instruments)])


def pixels(png: bytes) -> np.ndarray:
    return imread(BytesIO(png))[..., :3]


@pytest.mark.parametrize(("instruments", "days", "height"), [(1, 3, 130), (7, 800, 574), (3, 366, 166)])
def test_a_calendar_takes_the_room_it_needs(instruments, days, height):
    coverage = calendar(instruments, days)

    png = draw_coverage_calendar(coverage)

    width, found = struct.unpack(">II", png[16:24])
    assert found == height
    assert 600 <= width <= 1_300
    assert png == draw_coverage_calendar(coverage)
    assert b"Matplotlib" not in png


@pytest.mark.parametrize("days", [3, 300, 800])
def test_every_state_of_a_single_day_looks_different(days):
    drawn = [draw_coverage_calendar(calendar(2, days, kind)) for kind in KINDS]

    assert len(set(drawn)) == len(KINDS)


@pytest.mark.parametrize("days", [3, 300])
def test_states_differ_without_any_colour(days):
    """By lightness or by pattern, within the rows of the calendar and not only in the key below."""
    grey = [pixels(draw_coverage_calendar(calendar(2, days, kind)))[22:58].mean(axis=2) for kind in KINDS]

    for one in range(len(KINDS)):
        for other in range(one):
            assert np.abs(grey[one] - grey[other]).max() > 0.15


def test_the_colour_may_be_the_quality_index():
    coverage = calendar(1, 30)

    assert draw_coverage_calendar(coverage, "quality_index") != draw_coverage_calendar(coverage)


def test_a_calendar_without_a_row_says_so():
    assert draw_coverage_calendar(pl.DataFrame(schema=dict(COVERAGE_SCHEMA))).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["best bid above best ask", "locked"])
def test_a_day_is_drawn_with_what_was_found_in_it(name):
    book = random_book(1)
    reports = [
        clean_tall_rows(tall, "BTCUSDT", DAY, tolerant())[1]
        for tall in (book, CORRUPTIONS[name].spoil(book, book["ts"][20 * 4]))
    ]

    drawn = [draw_quality_day(report, "BTCUSDT", DAY) for report in reports]

    assert drawn[0] != drawn[1]
    for png, report in zip(drawn, reports, strict=True):
        assert struct.unpack(">II", png[16:24]) == (800, 300)
        assert png == draw_quality_day(report, "BTCUSDT", DAY)


def test_a_day_of_nothing_is_drawn():
    assert draw_quality_day(QualityReport(rows=0, rejected="schema"), "BTCUSDT", DAY).startswith(b"\x89PNG")
