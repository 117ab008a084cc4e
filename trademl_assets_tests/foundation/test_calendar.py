"""Days are UTC and half-open; instants are whole microseconds, exactly."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.foundation.calendar import (
    MICROSECONDS_PER_SECOND,
    day_bounds,
    day_start,
    days_between,
    from_microseconds,
    to_microseconds,
)

DAYS = st.dates(min_value=date(1970, 1, 2), max_value=date(2200, 1, 1))


@given(DAYS)
def test_a_day_begins_where_the_one_before_ends(day: date) -> None:
    start, end = day_bounds(day)
    assert start == day_start(day)
    assert (start.tzinfo, start.hour, end - start) == (UTC, 0, timedelta(days=1))
    assert day_bounds(day - timedelta(days=1))[1] == start


@given(DAYS, st.integers(-3, 400))
def test_days_between_holds_both_ends(first: date, span: int) -> None:
    days = days_between(first, first + timedelta(days=span))
    assert len(days) == max(span + 1, 0)
    assert list(days) == sorted(set(days))
    if days:
        assert (days[0], days[-1]) == (first, first + timedelta(days=span))


def test_a_leap_day_is_a_day() -> None:
    assert days_between(date(2024, 2, 28), date(2024, 3, 1)) == (
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    )


@given(st.datetimes(datetime(1900, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 -- bounds are naive
def test_microseconds_are_exact_both_ways(instant: datetime) -> None:
    value = to_microseconds(instant)
    assert from_microseconds(value) == instant
    assert value == int(np.datetime64(instant.replace(tzinfo=None), "us").astype(np.int64))


def test_instants_of_other_zones_are_the_same_instant() -> None:
    abroad = datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert to_microseconds(abroad) == to_microseconds(day_start(date(2024, 1, 1))) == 1_704_067_200_000_000
    assert to_microseconds(from_microseconds(0) + timedelta(seconds=1)) == MICROSECONDS_PER_SECOND


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-01-01T00:00:00 has no time zone"):
        to_microseconds(datetime(2024, 1, 1))  # noqa: DTZ001 -- the mistake under test
