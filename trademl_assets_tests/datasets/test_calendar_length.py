from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from trademl_assets.datasets.calendar_length import CalendarLength, PositiveLength
from trademl_assets.foundation.calendar import day_start

READER: TypeAdapter[CalendarLength] = TypeAdapter(CalendarLength)
FIRST_OF_MARCH = datetime(2023, 3, 1, 9, 0, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("P1M", "2024-02-01", "2024-03-01"),
        ("P1M", "2023-02-28", "2023-03-28"),
        ("P12M", "2023-03-01", "2024-03-01"),
        ("P1Y6M", "2023-09-15", "2025-03-15"),
        ("P24M", "2023-01-01", "2025-01-01"),
        ("P30D", "2024-02-01", "2024-03-02"),
        ("P4W", "2024-02-01", "2024-02-29"),
    ],
)
def test_a_month_is_as_long_as_the_calendar_says(text: str, start: str, end: str) -> None:
    found = CalendarLength.parse(text).after(day_start(date.fromisoformat(start)))
    assert found == day_start(date.fromisoformat(end))


@given(st.integers(0, 20_000 * 86_400), st.integers(1, 60), st.integers(-40, 40))
def test_months_after_months_are_their_sum_and_lead_back(since: int, months: int, times: int) -> None:
    instant = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=since)
    assume(instant.day <= 28)
    length = CalendarLength.parse(f"P{months}M")
    there = length.after(instant, times)
    assert length.after(there, -times) == instant
    assert length.after(there) == length.after(instant, times + 1)
    assert (there.day, there.time()) == (instant.day, instant.time())


def test_months_from_a_day_that_not_every_month_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"P1M from 2024-01-29.*first 28 days"):
        CalendarLength.parse("P1M").after(datetime(2024, 1, 29, tzinfo=UTC))
    assert CalendarLength.parse("P1D").after(datetime(2024, 1, 31, tzinfo=UTC)).month == 2


@pytest.mark.parametrize("text", ["P24D", "PT33M", "P1DT12H", "P12M", "PT0.5S"])
def test_lengths_stand_in_json_as_they_were_written(text: str) -> None:
    assert READER.dump_json(READER.validate_json(f'"{text}"')) == f'"{text}"'.encode()


def test_minutes_are_no_months() -> None:
    assert CalendarLength.parse("PT5M") == CalendarLength(0, timedelta(minutes=5))
    assert CalendarLength.parse("P5M") == CalendarLength(5, timedelta(0))
    assert CalendarLength.parse("P5M").after(FIRST_OF_MARCH).month == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("P1M15D", "no month is a fixed number of days"),
        ("P1Y2DT3H", "no month is a fixed number of days"),
        ("P1MT3H", "no month is a fixed number of days"),
        ("a month", "ISO-8601"),
        ("24 days", "ISO-8601"),
        ("P", "ISO-8601"),
        ("-P3M", "ISO-8601"),
        ("PT0S", "greater than zero"),
        ("P0M", "greater than zero"),
    ],
)
def test_what_is_no_length_is_refused_with_the_reason(text: str, reason: str) -> None:
    reader: TypeAdapter[CalendarLength] = TypeAdapter(PositiveLength)
    with pytest.raises(ValidationError, match=reason):
        reader.validate_json(f'"{text}"')
