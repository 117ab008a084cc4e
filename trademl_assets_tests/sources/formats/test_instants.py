"""Instants in every unit and form that files use."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.foundation.calendar import from_microseconds
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.formats.instants import TimeColumn, local_days, read_instants

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())


def read(values: Any, unit: str = "sniff", zone: str | None = None, day: date | None = None) -> tuple[list[Any], str]:
    series = values if isinstance(values, pl.Series) else pl.Series("t", values)
    time = TimeColumn.model_validate({"column": "t", "unit": unit, "zone": zone})
    instants, found = read_instants(series, time, day, "ABC on 2024-03-05, file x")
    return [from_microseconds(int(each)) for each in instants], found


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (NOON_S, "s"),
        (NOON_S * 10**3, "ms"),
        (NOON_S * 10**6, "us"),
        (NOON_S * 10**9, "ns"),
        (float(NOON_S), "s"),
        (f"{NOON_S}", "s"),
        (f"{NOON_S}000", "ms"),
        (f"{NOON_S}.0", "s"),
        ("2024-03-05T12:00:00Z", "iso"),
        ("2024-03-05 12:00:00.000000+00:00", "iso"),
        ("2024-03-05 07:00:00.0-0500", "iso"),
        ("2024-03-05 13:00:00+01", "iso"),
        ("2024-03-05 12:00:00 UTC", "iso"),
    ],
)
def test_units_are_sniffed(value: Any, unit: str) -> None:
    assert read([value, value]) == ([NOON, NOON], unit)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_columns_say_their_unit(unit: Any) -> None:
    typed = pl.Series("t", [NOON]).dt.cast_time_unit(unit)
    assert read(typed)[0] == [NOON]
    assert read(typed.dt.convert_time_zone("Asia/Tokyo"))[0] == [NOON]
    assert read(typed.dt.replace_time_zone(None), zone="America/New_York")[0] == [NOON.replace(hour=17)]


def test_typed_times_that_no_calendar_has_are_refused() -> None:
    beyond = pl.Series("t", [2**62]).cast(pl.Datetime("us", "UTC"))
    with pytest.raises(SourceError, match="no time between 1970 and 2100"):
        read(beyond)


def test_a_zone_that_is_not_said_is_asked_for() -> None:
    for values in (pl.Series("t", [NOON]).dt.replace_time_zone(None), ["2024-03-05 12:00:00.5"]):
        with pytest.raises(SourceError, match=r"have no zone -> write time\.zone"):
            read(values)
    assert read(["2024-03-05 12:00:00"], zone="UTC")[0] == [NOON]


def test_an_instant_finer_than_a_microsecond_is_rounded_up() -> None:
    ns = NOON_S * 10**9
    assert read([ns + 1, ns + 1000, ns + 1001])[0] == [NOON.replace(microsecond=us) for us in (1, 1, 2)]
    assert read(["2024-03-05T12:00:00.000000001Z"])[0] == [NOON.replace(microsecond=1)]
    assert read(pl.Series("t", [ns + 1]).cast(pl.Datetime("ns", "UTC")))[0] == [NOON.replace(microsecond=1)]


def test_seconds_of_a_day_count_from_midnight_in_the_zone() -> None:
    day = date(2024, 7, 1)
    read_back, _ = read([34_200.000001, 57_600.0], "seconds_of_day", "America/New_York", day)
    assert read_back == [
        datetime(2024, 7, 1, 13, 30, 0, 1, tzinfo=UTC),
        datetime(2024, 7, 1, 20, tzinfo=UTC),
    ]
    with pytest.raises(SourceError, match="not seconds of a day"):
        read([86_400.0], "seconds_of_day", "UTC", day)
    with pytest.raises(SourceError, match=r"write \{day\} in the path"):
        read([1.0], "seconds_of_day", "UTC")
    with pytest.raises(ValidationError, match="needs a zone"):
        TimeColumn(column="t", unit="seconds_of_day", zone=None)
    with pytest.raises(ValidationError, match="unknown time zone 'Mars'"):
        TimeColumn(column="t", unit="iso", zone="Mars")


@pytest.mark.parametrize(
    ("values", "unit", "part"),
    [
        ([NOON_S, NOON_S * 1000], "sniff", "mixed units of time"),
        ([12, 13], "sniff", "no epoch time"),
        ([None, NOON_S], "sniff", "lacks 1 instants"),
        ([float("nan"), float(NOON_S)], "s", "cannot be read"),
        ([NOON_S * 1000], "s", "no time between 1970 and 2100"),
        ([-5], "s", "no time between 1970 and 2100"),
        (["yesterday"], "sniff", "cannot be read as a time"),
        (["2024-03-05T12:00:00Z"], "ms", "cannot be read as a time in ms"),
        (["2024-13-05T12:00:00Z"], "iso", "cannot be read"),
        (["2024-03-05T12:00:00Z", "2024-03-05T12:00:00"], "iso", "only some times say their zone"),
        ([True], "sniff", "cannot be read"),
        ([NOON_S], "iso", "cannot be read"),
        ([NOON], "ms", "write time.unit: sniff"),
        (["2024-03-10 02:30:00"], "iso", "cannot be read"),
    ],
)
def test_what_is_no_instant_is_refused(values: list[Any], unit: str, part: str) -> None:
    with pytest.raises(SourceError, match=part) as refusal:
        read(values, unit, "America/New_York")
    assert str(refusal.value).startswith("ABC on 2024-03-05, file x: column t")
    assert " -> " in str(refusal.value)


def test_a_file_without_rows_has_no_instants() -> None:
    assert read(pl.Series("t", [], dtype=pl.String))[0] == []


def test_the_days_of_a_window_are_those_of_the_zone() -> None:
    start, end = (int(datetime(2024, 3, day, tzinfo=UTC).timestamp()) * 10**6 for day in (5, 6))
    assert local_days(start, end, None) == (date(2024, 3, 5), date(2024, 3, 5))
    assert local_days(start, end, "America/New_York") == (date(2024, 3, 4), date(2024, 3, 5))
    assert local_days(start, end, "Asia/Tokyo") == (date(2024, 3, 5), date(2024, 3, 6))
